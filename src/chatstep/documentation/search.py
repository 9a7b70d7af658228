"""Which excerpts a question is about: BM25 over their words, with headings counted more than what stands under them.

An excerpt counts for more on a page that is about the matter as a whole. `Found.covered` says how much of the question
the best excerpts speak of at all: where it is little, the documentation does not answer the question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import log

from msgspec import Struct

from chatstep.documentation.excerpts import Excerpt
from chatstep.documentation.words import stem, tokens, words

__all__ = ["Found", "Index"]

_HEADING, _TITLE = 4, 2  # how often the words of an excerpt's own heading count, and those of headings above
_STRENGTH, _LENGTH = 1.4, 0.5  # BM25's k1 and b
_WHOLE_PAGE = 0.5  # what a page's score adds to that of its excerpts
_THIS_PAGE = 1.25  # the page on which the question was asked is a little more likely
_ELSEWHERE = {"changelog": 0.6, "architecture": 0.8}  # pages that tell of things which others explain
_NAME = 3.0  # a name that the documentation never mentions tells more than another unknown word


class Found(Struct):
    """Excerpts, the best first, and the share of the question's words, by weight, that they hold: 0 to 1."""

    excerpts: list[Excerpt]
    covered: float


class Index:
    """Excerpts, ready to be searched."""

    def __init__(self, excerpts: Sequence[Excerpt]) -> None:
        self._excerpts = excerpts
        counts = [_weighed(excerpt) for excerpt in excerpts]
        pages: dict[str, Counter[str]] = {}
        for excerpt, counted in zip(excerpts, counts, strict=True):
            pages.setdefault(excerpt.page, Counter()).update(counted)
        self._texts = _Texts(counts)
        self._pages = _Texts(list(pages.values()))
        self._page_of = [list(pages).index(excerpt.page) for excerpt in excerpts]

    def search(self, question: str, page: str | None = None, most: int = 8) -> Found:
        """The best excerpts for a question that was asked on ``page``."""
        asked = self._asked(question)
        on_pages = self._pages.scores(asked)
        scores: dict[int, float] = {}
        for place, score in self._texts.scores(asked).items():
            where = self._excerpts[place].page
            weight = _THIS_PAGE if where == page else _ELSEWHERE.get(where, 1.0)
            scores[place] = weight * (score + _WHOLE_PAGE * on_pages[self._page_of[place]])
        best = sorted(scores, key=lambda place: (-scores[place], place))[:most]
        return Found([self._excerpts[place] for place in best], self._covered(asked, best[:3]))

    def _asked(self, question: str) -> dict[str, float]:
        """The question's words, each with how much it tells."""
        texts = self._texts
        asked = {word: texts.rarity(word) for word in words(question)}
        parts = tokens(question)
        for token in parts:
            name = stem(token.lower())
            if name in asked and name not in texts.places and token != token.lower() and token != parts[0]:
                asked[name] *= _NAME
        for first, second in pairwise(parts):
            word = stem((first + second).lower())  # "back up" is also "backup"
            if word in texts.places:
                asked[word] = texts.rarity(word)
        return asked

    def _covered(self, asked: Mapping[str, float], best: Iterable[int]) -> float:
        there = {word for place in best for word in self._texts.counts[place]}
        whole = sum(asked.values())
        return sum(weight for word, weight in asked.items() if word in there) / whole if whole else 0.0


class _Texts:
    """Texts as the numbers of their words, and BM25's measure of how well each fits some words."""

    def __init__(self, counts: Sequence[Counter[str]]) -> None:
        self.counts = counts
        self.places: dict[str, list[int]] = {}
        for place, counted in enumerate(counts):
            for word in counted:
                self.places.setdefault(word, []).append(place)
        self._lengths = [counted.total() for counted in counts]
        self._usual = sum(self._lengths) / max(1, len(counts))

    def scores(self, asked: Iterable[str]) -> dict[int, float]:
        """Each text that holds one of the words, with its score."""
        found: dict[int, float] = {}
        for word in asked:
            rarity = self.rarity(word)
            for place in self.places.get(word, ()):
                times = self.counts[place][word]
                length = 1 - _LENGTH + _LENGTH * self._lengths[place] / self._usual
                score = rarity * times * (_STRENGTH + 1) / (times + _STRENGTH * length)
                found[place] = found.get(place, 0.0) + score
        return found

    def rarity(self, word: str) -> float:
        """How much it tells that a text holds the word: the more, the fewer hold it."""
        known = len(self.places.get(word, ()))
        return log(1 + (len(self.counts) - known + 0.5) / (known + 0.5))


def _weighed(excerpt: Excerpt) -> Counter[str]:
    counts = Counter(words(excerpt.text))
    *above, own = excerpt.headings
    for title, weight in [(own, _HEADING), *((title, _TITLE) for title in above)]:
        for word in words(title):
            counts[word] += weight
    return counts
