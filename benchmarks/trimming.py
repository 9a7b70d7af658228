"""What a peer's process does for the benchmarks `prompt` and `trim`: cut a history to a budget, timed or judged."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.histories import Turn, long_chat, next_turn, prompt_tokens, random_chat

OTHER_CHAT, OTHER_CHAT_MESSAGES = 0, 100
RULES = ("fits", "instructions", "newest", "order", "whole texts", "user first")


def time_prompt(peer: Any, order: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of the first prompt of a long chat in this process (cold), and of its next turn (warm)."""
    trim, seed = peer.TRIMMERS[order["trimmer"]], order["seed"]
    started = time.process_time()
    # A short text is not enough: a vocabulary finishes loading when it first meets a word that it has to merge.
    trim(peer.prepare(long_chat(OTHER_CHAT_MESSAGES, OTHER_CHAT)), order["budget"])
    loaded = time.process_time()
    prepared = peer.prepare(long_chat(order["messages"], seed))
    before = time.process_time()
    trim(prepared, order["budget"])
    cold = time.process_time()
    peer.append(prepared, next_turn(seed))
    again = time.process_time()
    kept = trim(prepared, order["budget"])
    warm = time.process_time()
    turns = peer.turns(kept)
    used = prompt_tokens(turn.text for turn in turns)
    return {"load": loaded - started, "cold": cold - before, "warm": warm - again, "used": used, "kept": len(turns)}


def count_broken(peer: Any, order: dict[str, Any]) -> dict[str, Any]:
    """How many of the random chats break each rule, and the share of the budget that was used."""
    trim = peer.TRIMMERS[order["trimmer"]]
    broken = dict.fromkeys(RULES, 0)
    any_broken, errors, used = 0, 0, 0.0
    for seed in range(order["histories"]):
        turns, budget = random_chat(seed)
        try:
            kept = peer.turns(trim(peer.prepare(turns), budget))
        except Exception as error:
            errors += 1
            order.setdefault("first_error", repr(error)[:200])
            continue
        found = judge(turns, kept, budget)
        any_broken += bool(found)
        used += min(1.0, prompt_tokens(turn.text for turn in kept) / min(budget, prompt_tokens(t.text for t in turns)))
        for rule in found:
            broken[rule] += 1
    done = order["histories"] - errors
    return {
        "broken": broken,
        "any": any_broken,
        "errors": errors,
        "used": used / done if done else 0.0,
        "first_error": order.get("first_error", ""),
    }


def judge(turns: list[Turn], kept: list[Turn], budget: int) -> list[str]:
    """The names of the rules that this cut breaks."""
    given = {turn: at for at, turn in enumerate(turns)}
    places = [given[turn] for turn in kept if turn in given]
    texts = {turn.text for turn in turns}
    spoken = [turn for turn in kept if turn.role != "system"]
    keeps = {
        "fits": prompt_tokens(turn.text for turn in kept) <= budget,
        "instructions": turns[0].role != "system" or kept[:1] == turns[:1],
        "newest": kept[-1:] == turns[-1:],
        "order": places == sorted(places) and len(places) == len(set(places)),
        "whole texts": all(turn.text in texts for turn in kept),
        "user first": len(kept) == len(turns) or (bool(spoken) and spoken[0].role == "user"),
    }
    return [rule for rule in RULES if not keeps[rule]]
