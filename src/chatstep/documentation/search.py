"""Which excerpts a question is about: BM25 over their words, with headings counted more than what stands under them.

`Found.covered` says how much of the question the best excerpts speak of at all: where it is little, the documentation
does not answer the question.
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
_THIS_PAGE = 1.25  # the page on which the question was asked is a little more likely

_ELSEWHERE = {"changelog": 0.6, "architecture": 0.8}  # pages that tell of things which others explain
_NAME = 2.0  # a name that the documentation never mentions tells more than another unknown word


class Found(Struct):
    """Excerpts, the best first, and the share of the question's words, by weight, that they hold: 0 to 1."""

    excerpts: list[Excerpt]
    covered: float


class Index:
    """Excerpts, ready to be searched."""

    def __init__(self, excerpts: Sequence[Excerpt]) -> None:
        self._excerpts = excerpts
        self._counts = [_weighed(excerpt) for excerpt in excerpts]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._usual = sum(self._lengths) / max(1, len(self._lengths))
        self._places: dict[str, list[int]] = {}
        for place, counts in enumerate(self._counts):
            for word in counts:
                self._places.setdefault(word, []).append(place)

    def search(self, question: str, page: str | None = None, most: int = 8) -> Found:
        """The best excerpts for a question that was asked on ``page``."""
        asked = self._asked(question)
        scores: dict[int, float] = {}
        for word in asked:
            for place in self._places.get(word, ()):
                scores[place] = scores.get(place, 0.0) + self._score(word, place)
        for place in scores:
            where = self._excerpts[place].page
            scores[place] *= _THIS_PAGE if where == page else _ELSEWHERE.get(where, 1.0)
        best = sorted(scores, key=lambda place: (-scores[place], place))[:most]
        return Found([self._excerpts[place] for place in best], self._covered(asked, best[:3]))

    def _asked(self, question: str) -> dict[str, float]:
        """The question's words, each with how much it tells."""
        asked = {word: self._rarity(word) for word in words(question)}
        parts = tokens(question)
        for token in parts:
            name = stem(token.lower())
            if name in asked and name not in self._places and token != token.lower() and token != parts[0]:
                asked[name] *= _NAME
        for first, second in pairwise(parts):
            word = stem((first + second).lower())  # "back up" is also "backup"
            if word in self._places:
                asked[word] = self._rarity(word)
        return asked

    def _score(self, word: str, place: int) -> float:
        times = self._counts[place][word]
        length = 1 - _LENGTH + _LENGTH * self._lengths[place] / self._usual
        return self._rarity(word) * times * (_STRENGTH + 1) / (times + _STRENGTH * length)

    def _rarity(self, word: str) -> float:
        known = len(self._places.get(word, ()))
        return log(1 + (len(self._excerpts) - known + 0.5) / (known + 0.5))

    def _covered(self, asked: Mapping[str, float], best: Iterable[int]) -> float:
        there = {word for place in best for word in self._counts[place]}
        whole = sum(asked.values())
        return sum(weight for word, weight in asked.items() if word in there) / whole if whole else 0.0


def _weighed(excerpt: Excerpt) -> Counter[str]:
    counts = Counter(words(excerpt.text))
    *above, own = excerpt.headings
    for title, weight in [(own, _HEADING), *((title, _TITLE) for title in above)]:
        for word in words(title):
            counts[word] += weight
    return counts
