"""Writes src/chatstep/modules/openai/models.json from published data. For maintainers; not part of the package.

Run it in an environment of its own: ``pip install litellm openai genai-prices``, then
``python scripts/make_models_table.py``. Limits, efforts and modes come from litellm's packaged JSON, context windows
from genai-prices, shutdown dates and the ids of /responses from the openai package. What those have wrong or lack
stands in `CORRECTIONS`, each row with its source. Nothing is fetched.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src/chatstep/modules/openai/models.json"
PACKAGES = ("litellm", "openai", "genai-prices")

Row = dict[str, Any]

# Not a chat of texts: other inputs, other outputs, or a search behind the answer.
OTHER_KINDS = re.compile(r"audio|realtime|search-|image|transcribe|tts|vision|container|instruct")
SNAPSHOT = re.compile(r"-20\d\d-\d\d-\d\d$")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
USUAL_EFFORTS = {"low", "medium", "high"}
# tiktoken 0.14.0, tiktoken/model.py; o200k_base for everything newer. gpt-6 is not published there: an assumption.
CL100K = re.compile(r"gpt-4(-|$)|gpt-3\.5")
UNPUBLISHED_ENCODING = re.compile(r"gpt-6|rosalind|daybreak|^chat-latest")

SUCCESSOR = "developers.openai.com/api/docs/deprecations and help.openai.com/en/articles/20001600, 2026-11"
MAX_EFFORT = "the server's own list in its 400 for `minimal`: github.com/experientiallabs/experiential/issues/764"
CHAT_CAP = "docs.laozhang.ai/en/announcements/gpt-6-chat-tools-2026-11: on chat/completions up to xhigh"
NOT_YET = "in openai's chat_model.py since 2026-11-17, in no table of limits yet; assumed to be as gpt-6.1-sol"
SNAPSHOT_NAME = "an alias that follows the newest model: what it takes changes without notice"
RESPONSES_ONLY = "listed for /v1/responses only: openai's responses_model.py, and its neighbours there"

LIKE_6_1_SOL: Row = {
    "window": 1050000,
    "max_input": 922000,
    "max_output": 128000,
    "effort": ["low", "medium", "high", "xhigh"],
    "reasons": True,
    "sampling": "never",
}
CORRECTIONS: dict[str, tuple[Row, str]] = {
    "gpt-4o-mini": ({"replacement": "gpt-6-luna"}, SUCCESSOR),
    "gpt-4o": ({"replacement": "gpt-6-luna"}, SUCCESSOR),
    "gpt-4.1": ({"replacement": "gpt-6-luna"}, SUCCESSOR),
    "gpt-4.1-mini": ({"replacement": "gpt-6-luna"}, SUCCESSOR),
    "gpt-5.6": ({"effort": ["none", "low", "medium", "high", "xhigh", "max"]}, MAX_EFFORT),
    "gpt-5.6-sol": ({"effort": ["none", "low", "medium", "high", "xhigh", "max"]}, MAX_EFFORT),
    "gpt-5.6-terra": ({"effort": ["none", "low", "medium", "high", "xhigh", "max"]}, MAX_EFFORT),
    "gpt-5.6-luna": ({"effort": ["none", "low", "medium", "high", "xhigh", "max"]}, MAX_EFFORT),
    "gpt-6.1-sol": ({"effort": ["low", "medium", "high", "xhigh"]}, CHAT_CAP),
    "gpt-6.2-sol": (LIKE_6_1_SOL, NOT_YET),
    "gpt-6.2-astra": (LIKE_6_1_SOL, NOT_YET),
    "gpt-5-chat": ({"effort": [], "reasons": False, "sampling": "always"}, SNAPSHOT_NAME),
    "chat-latest": ({"effort": []}, SNAPSHOT_NAME),
    "codex-mini-latest": ({"chat": False}, RESPONSES_ONLY),
    "gpt-5.5-cyber": ({"chat": False}, RESPONSES_ONLY),
    "gpt-5.5-cyber-preview": ({"chat": False}, RESPONSES_ONLY),
    "gpt-6-astra-law": ({"chat": False}, RESPONSES_ONLY),
    "gpt-rosalind-discovery": ({"chat": False}, RESPONSES_ONLY),
}


def from_litellm() -> dict[str, Row]:
    """Limits, efforts and modes of OpenAI's models for chat and responses."""
    path = distribution("litellm").locate_file("litellm/model_prices_and_context_window_backup.json")
    data: dict[str, Row] = json.loads(Path(str(path)).read_text())
    rows = {}
    for name, source in data.items():
        wanted = source.get("litellm_provider") == "openai" and source.get("mode") in ("chat", "responses")
        if wanted and not name.startswith("ft:") and not OTHER_KINDS.search(name):
            rows[name] = litellm_row(name, source)
    return rows


def litellm_row(name: str, source: Row) -> Row:
    """One row; the efforts litellm marks, plus the usual three for every family that takes the field at all."""
    chat = source["mode"] == "chat"
    marked = {effort for effort in EFFORTS if source.get(f"supports_{effort}_reasoning_effort")}
    speaks = any(f"supports_{effort}_reasoning_effort" in source for effort in EFFORTS) or re.match(r"o\d", name)
    effort = marked | USUAL_EFFORTS if chat and speaks else set()
    reasons = bool(source.get("supports_reasoning"))
    return {
        "max_input": source.get("max_input_tokens"),
        "max_output": source.get("max_output_tokens"),
        "effort": [value for value in EFFORTS if value in effort],
        "reasons": reasons,
        # developers.openai.com/api/docs/guides/deployment-checklist: beside effort `none` only.
        "sampling": "always" if not reasons else "without_effort" if "none" in effort else "never",
        "chat": chat,
        "shutdown": source.get("deprecation_date"),
    }


def add_windows(rows: dict[str, Row]) -> None:
    """Tells an input limit from a window shared with the reply.

    litellm writes either under one name. It is an input limit where, together with the longest reply, it makes up the
    window that genai-prices gives.
    """
    from genai_prices.data_snapshot import get_snapshot

    openai = next(provider for provider in get_snapshot().providers if provider.id == "openai")
    for name, row in rows.items():
        found = openai.find_model(name)
        window = found.context_window if found else None
        if row.get("max_input") is None:
            row["max_input"] = row["window"] = window
        elif window == row["max_input"] + (row["max_output"] or 0):
            row["window"] = window
        else:
            row["window"] = row["max_input"]


def shutdown_dates() -> dict[str, str]:
    """The dates in the prose of openai's chat_model.py, by model."""
    path = distribution("openai").locate_file("openai/types/shared/chat_model.py")
    prose = re.sub(r"\s+", " ", Path(str(path)).read_text().split('"""Deprecated values:')[1])
    dates = {}
    for item in prose.split(' - "')[1:]:
        names, _, rest = f'"{item}'.partition(": ")
        day = re.search(r"shutdown date: (\d{4}-\d\d-\d\d)", rest)
        if day:
            dates.update(dict.fromkeys(re.findall(r'"([^"]+)"', names), day[1]))
    return dates


def responses_only() -> set[str]:
    """Ids that openai's responses_model.py has and its chat_model.py has not."""
    path = distribution("openai").locate_file("openai/types/shared/responses_model.py")
    return set(re.findall(r'"([a-z0-9.-]+)"', Path(str(path)).read_text()))


def make_rows() -> dict[str, Row]:
    """The whole table, later sources overruling earlier ones."""
    rows = from_litellm()
    for name, day in shutdown_dates().items():
        if not OTHER_KINDS.search(name):
            rows.setdefault(name, {"reasons": bool(re.match(r"o\d", name))})["shutdown"] = day
    for name in responses_only():
        if name not in rows and OTHER_KINDS.search(name):
            continue
        rows.setdefault(name, {})["chat"] = False
    add_windows(rows)
    for name, (change, _source) in CORRECTIONS.items():
        rows.setdefault(name, {}).update(change)
    for name, row in rows.items():
        row["encoding"] = "cl100k_base" if CL100K.match(name) else "o200k_base"
        row["exact"] = not UNPUBLISHED_ENCODING.search(name)
        if row.get("reasons") and "sampling" not in row:
            row["sampling"] = "never"
        if not row.get("chat", True):
            row["effort"] = []
        family = rows.get(SNAPSHOT.sub("", name))
        if family and family.get("replacement"):
            row.setdefault("replacement", family["replacement"])
    return rows


DEFAULTS: Row = {
    "effort": [],
    "reasons": False,
    "sampling": "always",
    "chat": True,
    "encoding": "o200k_base",
    "exact": True,
}


def without_defaults(row: Row) -> Row:
    """The row as the package reads it: a field that has its default value is not written."""
    return {key: value for key, value in sorted(row.items()) if value is not None and value != DEFAULTS.get(key)}


def main() -> None:
    """Writes the table, leaving out snapshots that say nothing but what their family says."""
    rows = {name: without_defaults(row) for name, row in sorted(make_rows().items())}
    short = {
        name: row for name, row in rows.items() if row != rows.get(SNAPSHOT.sub("", name)) or not SNAPSHOT.search(name)
    }
    made_from = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": {package: version(package) for package in PACKAGES},
    }
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in short.items())
    TARGET.write_text(f'{{\n  "made_from": {json.dumps(made_from)},\n  "models": {{\n{lines}\n  }}\n}}\n')
    sys.stdout.write(f"{len(short)} models written to {TARGET.name}\n")


if __name__ == "__main__":
    main()
