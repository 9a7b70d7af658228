"""What the provider answers to each request: routes, checks, the choice of a rule, and the plan of the answer.

`Desk` knows no sockets: a `Received` goes in, a `Plan` comes out. provider.py connects it to the network.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from msgspec import UNSET

from chatstep.modules.openai.tokens import LONG_TEXT
from chatstep.modules.openai.wire import encode
from chatstep.rehearsal import faults
from chatstep.rehearsal.answers import Answer, Reply, Spoken, make_answer, plan_of
from chatstep.rehearsal.conversationalist import converse
from chatstep.rehearsal.habits import check_habits, check_window
from chatstep.rehearsal.instances import json_reply
from chatstep.rehearsal.models import DEFAULT_MODELS, ModelList, listed
from chatstep.rehearsal.plan import Plan
from chatstep.rehearsal.received import Received
from chatstep.rehearsal.refusal import Refusal, by_code
from chatstep.rehearsal.script import Rule, Script
from chatstep.rehearsal.usage import Prompt, PromptCache, count_prompt
from chatstep.rehearsal.validation import check_request, read_json

__all__ = ["Desk"]

_COMPLETIONS = re.compile(r"(?:/openai)?/v1/chat/completions|/chat/completions")
_AZURE = re.compile(r"/openai/deployments/(?P<name>[^/]+)/chat/completions")
_MODELS = re.compile(r"(?:/openai)?(?:/v1)?/models(?:/(?P<id>.+))?")


class Desk:
    """Answers requests by a script. ``created`` is the time that every answer bears, in seconds since 1970."""

    def __init__(self, script: Script, created: int) -> None:
        self.script = script
        self.unexpected: list[str] = []
        self._created = created
        self._cache = PromptCache()

    def reset(self) -> None:
        """Forget what was asked before."""
        self.script.reset()
        self.unexpected.clear()
        self._cache.clear()

    async def answer(self, request: Received, key: str | None) -> Plan:
        """The plan of the answer; ``key`` is what the request brought as its key. Raises Refusal."""
        self._check_key(key)
        return await self._route(request)

    async def open(self) -> None:
        """Load the tables of models and tokens, which would hold up the first request."""
        await asyncio.to_thread(count_prompt, {"model": "gpt-4o", "messages": []})

    async def close(self) -> None:
        """Nothing to close."""

    def _check_key(self, key: str | None) -> None:
        if self.script.key is not None and key != self.script.key:
            raise by_code("invalid_api_key")

    async def _route(self, request: Received) -> Plan:
        path = request.path
        if azure := _AZURE.fullmatch(path):
            _only(request, "POST")
            if "api-version=" not in request.query:
                raise Refusal("The query parameter 'api-version' is missing.", status=404, code="404")
            return await self._complete(request, unquote(azure["name"]))
        if _COMPLETIONS.fullmatch(path):
            _only(request, "POST")
            return await self._complete(request, None)
        if models := _MODELS.fullmatch(path):
            _only(request, "GET")
            rule = self._rule_for_path(request)
            plan = Plan()
            plan.set_body(self._models(models["id"]))
            return plan if rule is None else _with_rule(plan, rule, _nothing(self._created))
        raise Refusal(f"Unknown address: {request.method} {path}.", status=404, code="unknown_url")

    def _rule_for_path(self, request: Received) -> Rule | None:
        return self.script.choose(request) if any(rule.when.path for rule in self.script.rules) else None

    def _models(self, wanted: str | None) -> bytes:
        offered = DEFAULT_MODELS if self.script.models is None else self.script.models
        if wanted is None:
            return encode(ModelList(data=listed(offered)))
        for entry in listed(offered):
            if entry.id == unquote(wanted):
                return encode(entry)
        raise by_code("model_not_found", message="No model of that name is offered.", param="model")

    async def _complete(self, request: Received, deployment: str | None) -> Plan:
        body = dict(request.body) if request.body is not None else read_json(request.raw)
        if deployment is not None:
            body.setdefault("model", deployment)
        for name in self.script.habits.ignore_fields:
            body.pop(name, None)
        check_request(body)
        self._check_model(body["model"])
        check_habits(body, self.script.habits)
        prompt = await _counted(body, request)
        check_window(prompt.total, body, self.script.habits.window)
        rule = self.script.choose(request)
        if rule is None and self.script.otherwise == "fail":
            raise self._not_expected(request)
        if rule is not None and rule.filter == "prompt":
            rule_plan = Plan()
            faults.apply("code", {"code": "content_filter"}, rule_plan, _nothing(self._created))
            return rule_plan
        reply = self._reply(request, body, rule)
        answer = make_answer(
            body,
            reply,
            prompt,
            cached=self._cache.cached(prompt),
            identity="chatcmpl-" + hashlib.sha256(encode(body)).hexdigest()[:29],
            created=self._created,
        )
        plan = plan_of(answer)
        return plan if rule is None else _with_rule(plan, rule, answer)

    def _check_model(self, name: str) -> None:
        if self.script.models is not None and name not in {model.id for model in self.script.models}:
            raise by_code("model_not_found", message=f"The model '{name}' does not exist or you have no access to it.")

    def _not_expected(self, request: Received) -> Refusal:
        described = request.describe()
        self.unexpected.append(described)
        why = self.script.why_not(request)
        return Refusal(
            f"The script did not expect {described}. {why or 'It has no rules'}.", kind="rehearsal", code="not_expected"
        )

    def _reply(self, request: Received, body: Mapping[str, Any], rule: Rule | None) -> Reply:
        count = body.get("n") or 1
        text = rule.text_for(request) if rule is not None else None
        if text is None and rule is not None and isinstance(rule.chunks, list):
            text = "".join(rule.chunks)
        texts = [_converse(body, variant) for variant in range(count)] if text is None else [text] * count
        snapshot = self._snapshot(body["model"])
        if rule is None:
            return Reply(texts=texts, model=snapshot)
        finish = rule.finish_reason or ("content_filter" if rule.filter else None)
        return Reply(
            texts=texts,
            finish_reason=finish,
            refusal=rule.refusal,
            reasoning=rule.reasoning,
            pieces=rule.chunks,
            model=rule.model or snapshot,
            usage=rule.usage if rule.usage is not UNSET else UNSET,
        )

    def _snapshot(self, name: str) -> str | None:
        offered = DEFAULT_MODELS if self.script.models is None else self.script.models
        return next((model.snapshot for model in offered if model.id == name), None)


def _only(request: Received, method: str) -> None:
    if request.method != method:
        raise Refusal(f"Not allowed here: {request.method}. Use {method}.", status=405, code="method_not_supported")


async def _counted(body: Mapping[str, Any], request: Received) -> Prompt:
    # Counting megabytes takes long enough to keep others waiting.
    work: Callable[[Mapping[str, Any]], Prompt] = count_prompt
    return await asyncio.to_thread(work, body) if len(request.raw) > LONG_TEXT else work(body)


def _converse(body: Mapping[str, Any], variant: int) -> str:
    text = converse(body["messages"], variant)
    wanted = body.get("response_format")
    if not wanted or wanted["type"] == "text":
        return text
    try:
        return json_reply(wanted, text)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        raise Refusal(
            "Invalid schema for 'response_format'.", param="response_format", code="invalid_json_schema"
        ) from None


def _with_rule(plan: Plan, rule: Rule, answer: Answer) -> Plan:
    plan.first_delay, plan.between = rule.delay, rule.between
    if rule.fault is not None:
        faults.apply(*rule.fault, plan, answer)
    plan.headers.update(rule.headers)
    return plan


def _nothing(created: int) -> Answer:
    """An answer for faults of requests that are no completions."""
    return Answer(id="", created=created, model="", choices=[Spoken("")], usage=None, stream=False)
