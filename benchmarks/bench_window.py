"""The prompt bill of long chats: `steady` against `newest`, other rules and hindsight, in a simulated prompt cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.report import Section
from benchmarks.window_chats import SHAPES, Chat, Price, Rule, Setting, chat, moves, play
from benchmarks.window_rules import (
    SHARE,
    grid,
    highest,
    hindsight,
    levels,
    newest,
    replay,
    steady,
    steady_by_pauses,
    steady_looking_back,
)

TURNS, SEEDS = 400, 2
MANY_TURNS = 2_000
USUAL = Setting()
AT_75 = Price()
PRICES = {"50 %": Price(0.5), "75 %": AT_75, "90 %": Price(0.1), "90 %, writes 1.25": Price(0.1, 1.25)}
BUDGETS = (2_000, 4_000, 8_000, 16_000)
VIEWS = (50, 100, 200)

RULES: dict[str, Rule] = {
    "**steady**": steady,
    "grid of half budgets from the first message": grid,
    "jump to half when full, replayed from the first message": replay,
    "highest mark in the older half": highest,
    "oldest of the highest level in the older half": levels,
    "steady, anchors at pauses": steady_by_pauses,
    "steady, looking four budgets back": steady_looking_back,
}


class Figures(NamedTuple):
    """Bills to that of `newest`, per price; context to that of `newest`; cut moves per 100 turns."""

    bills: tuple[float, ...]
    context: float
    moves: float

    def row(self, what: str, bound: float | None) -> tuple[str, ...]:
        """As a row of the table."""
        best = "-" if bound is None else f"{bound:.2f}"
        return what, *(f"{bill:.2f}" for bill in self.bills), f"{self.context:.0%}", f"{self.moves:.1f}", best


def chats(turns: int = TURNS, shapes: Iterable[str] = SHAPES) -> list[Chat]:
    """The conversations that figures are averages over; of long ones one per shape is enough."""
    return [chat(shape, turns, seed) for shape in shapes for seed in range(SEEDS if turns <= TURNS else 1)]


def compare(rule: Rule, made: list[Chat], setting: Setting = USUAL) -> Figures:
    """One rule's figures, each chat counting alike."""
    bills, contexts, moved, turns = [0.0] * len(PRICES), 0.0, 0, 0
    for one in made:
        theirs, ours = play(one, newest, setting), play(one, rule, setting)
        for at, price in enumerate(PRICES.values()):
            costs = (sum(price.of(sent.prompt, sent.cached) for sent in prompts) for prompts in (ours, theirs))
            bills[at] += next(costs) / next(costs)
        contexts += sum(sent.history for sent in ours) / sum(sent.history for sent in theirs)
        moved += moves(ours)
        turns += len(ours)
    return Figures(tuple(bill / len(made) for bill in bills), contexts / len(made), moved / turns * 100)


def bound(made: list[Chat], setting: Setting = USUAL, price: Price = AT_75) -> float:
    """The bill of hindsight to that of `newest`, each chat counting alike."""
    ratios = [
        hindsight(one, setting, price) / sum(price.of(sent.prompt, sent.cached) for sent in play(one, newest, setting))
        for one in made
    ]
    return sum(ratios) / len(ratios)


def run() -> Section:
    """Play everything."""
    section = Section(
        "window",
        "prompt bill of long chats, to `newest`",
        f"Simulated chats of six shapes ({', '.join(SHAPES)}), 150 tokens of instructions, replies up to 256. The "
        "cache holds exact beginnings from 1,024 tokens in steps of 128 for 10 idle minutes. Bills are of prompts, "
        "at discounts on cached tokens of 50, 75 and 90 %, and at 90 % where writing costs 1.25. Each figure is the "
        "mean over shapes of the ratio to `newest` on the same chats. Unless a row says otherwise: 4,000 tokens for "
        f"history, {TURNS} turns, all of the history at hand. Hindsight: no choice of cuts has a lower bill at 75 % "
        f"and keeps {SHARE:.0%} of the context, even with all turns known before.",
        ("rule or case", *PRICES, "context", "moves per 100 turns", "hindsight at 75 %"),
    )
    usual = chats()
    least = bound(usual)
    figures = {name: compare(rule, usual) for name, rule in RULES.items()}
    section.rows += [found.row(name, least) for name, found in figures.items()]
    long = chats(MANY_TURNS)
    section.rows.append(compare(steady, long).row(f"steady, {MANY_TURNS:,} turns", None))
    for shape in SHAPES:
        made = chats(shapes=[shape])
        section.rows.append(compare(steady, made).row(f"steady, {shape}", bound(made)))
    for budget in BUDGETS:
        case = Setting(budget)
        section.rows.append(compare(steady, long, case).row(f"steady, {budget:,} tokens, {MANY_TURNS:,} turns", None))
    views = _views(section, usual)
    ours = figures["**steady**"]
    section.target("steady, bill at 75 %", ours.bills[1], 0.35)
    section.target("context that steady gives up", 1 - ours.context, 0.25)
    for last, seen in views.items():
        section.target(f"steady, last {last} messages and that known, bill at 75 %", seen.bills[1], 0.35)
        section.target(f"steady, last {last} messages and that known, context given up", 1 - seen.context, 0.25)
    section.notes += [
        "The two rules that count from the first message need the whole history at every turn. Looking four budgets "
        "back needs more than the messages that are sent. Steady looks at nothing else than these.",
        "Last N messages: where they all fit the budget, nothing tells such a view from a young chat, so all of it "
        "is sent and its start moves at every turn. Known: the caller says that older messages exist; then messages "
        "are counted instead of tokens.",
        "What bounds the rest: a view of 50 short messages has little more than the 1,024 tokens from which a cache "
        "works; long messages fill half a budget in four turns, and every reply is new once. Hindsight meets both too.",
    ]
    return section


def _views(section: Section, made: list[Chat]) -> dict[int, Figures]:
    """The rows of views of the last messages; gives those where the limit is known."""
    known = {}
    for last in VIEWS:
        for rule, told in ((grid, False), (steady, False), (steady, True)):
            found = compare(rule, made, Setting(last=last, known=told))
            name = f"{rule.__name__}, last {last} messages{', known' if told else ''}"
            section.rows.append(found.row(name, bound(made, Setting(last=last)) if told else None))
            if told:
                known[last] = found
    return known
