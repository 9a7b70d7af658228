"""How often a cut history breaks a rule that every chat depends on."""

from __future__ import annotations

from benchmarks.passes import PeerFailed, Worker
from benchmarks.peers import OURS
from benchmarks.report import Section
from benchmarks.trimming import RULES

HISTORIES = 400

RUNNERS: dict[str, tuple[str, str]] = {
    "chatstep": (OURS, "plain"),
    "LangChain, defaults": ("langchain", "plain"),
    "LangChain, tuned, approximate counter": ("langchain", "tuned"),
    "LangChain, tuned, exact counter": ("langchain", "exact"),
    "LiteLLM": ("litellm", "plain"),
}


def run() -> Section:
    """Give everybody the same random chats."""
    section = Section(
        "trim",
        f"broken rules over {HISTORIES} random histories",
        "Chats of up to 61 messages in several scripts, with and without instructions, and a budget into which the "
        "instructions and the newest message always fit. Rules: the prompt fits the budget (tokens counted as the "
        "provider counts, o200k_base); instructions whole and first; newest message whole and last; order kept; no "
        "text cut; after a cut the first message kept is a user's. Used: the share of the budget, or of the chat where "
        "that is smaller, that the prompt has.",
        ("trimmer", *RULES, "any rule", "errors", "used"),
    )
    for title, (peer, trimmer) in RUNNERS.items():
        try:
            with Worker(peer, "trim") as worker:
                result = worker.run({"trimmer": trimmer, "histories": HISTORIES}, 120)
        except PeerFailed as failure:
            section.rows.append((title, "failed", *("",) * (len(RULES) + 2)))
            section.notes.append(f"{title}: {failure}")
            continue
        broken = (str(result["broken"][rule]) for rule in RULES)
        section.rows.append((title, *broken, str(result["any"]), str(result["errors"]), f"{result['used']:.0%}"))
        if result["first_error"]:
            section.notes.append(f"{title}, first error: {result['first_error']}")
        if peer == OURS:
            section.target("chatstep, histories with a broken rule or an error", result["any"] + result["errors"], 0)
    if not section.targets:
        section.target("chatstep, histories with a broken rule or an error", None, 0)
    return section
