"""pydantic-ai."""

import asyncio
import json
import sys

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.output import NativeOutput
from pydantic_ai.providers.openai import OpenAIProvider

asked = json.loads(sys.argv[1])


class Order(BaseModel):
    id: str
    open: bool


def agent(model, key=asked["key"], **more):
    provider = OpenAIProvider(base_url=asked["base_url"], api_key=key)
    return Agent(OpenAIChatModel(model, provider=provider), **more)


async def ask(model, text):
    return (await agent(model).run(text)).output


async def streamed(model, text):
    async with agent(model).run_stream(text) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        tokens = result.usage.output_tokens
    return {"pieces": len(pieces), "text": "".join(pieces), "tokens": tokens}


async def tool():
    called = []
    helper = agent(asked["model"])

    def find_order(number: int = 0) -> str:
        called.append("find_order")
        return "on its way"

    helper.tool_plain(find_order)
    answer = (await helper.run(asked["tool_text"])).output
    return {"name": called[0], "answer": answer}


async def formatted():
    made = await agent(asked["model"], output_type=NativeOutput(Order, name="order")).run("An order")
    return made.output.model_dump()


async def refused(model, text, key=asked["key"]):
    try:
        await agent(model, key).run(text)
    except ModelHTTPError as error:
        return error.status_code
    return "no error"


async def abandoned():
    async with agent(asked["model"]).run_stream(asked["endless_text"]) as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            break
    return True


async def main():
    return {
        "plain": await ask(asked["model"], "Hello"),
        "stream": await streamed(asked["model"], asked["slow_text"]),
        "flow": await ask(asked["flow"], "Hello"),
        "flow_stream": (await streamed(asked["flow"], "Hello"))["text"],
        "tool": await tool(),
        "format": await formatted(),
        "unknown": await refused("flow/none", "Hello"),
        "stranger": await refused(asked["model"], "Hello", "cs_wrong"),
        "quota": await refused(asked["model"], asked["quota_text"]),
        "abandoned": await abandoned(),
    }


print(json.dumps(asyncio.run(main())))
