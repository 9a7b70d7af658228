"""The official Python SDK."""

import json
import sys

import openai

asked = json.loads(sys.argv[1])
client = openai.OpenAI(base_url=asked["base_url"], api_key=asked["key"])


def ask(model, text, other=client, **more):
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return other.chat.completions.create(model=model, messages=messages, **more)


def streamed(model, text):
    pieces, tokens = [], 0
    for chunk in ask(model, text, stream=True, stream_options={"include_usage": True}):
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
        if chunk.usage:
            tokens = chunk.usage.completion_tokens
    return {"pieces": len(pieces), "text": "".join(pieces), "tokens": tokens}


def tool():
    tools = [{"type": "function", "function": asked["tool"]}]
    messages = [{"role": "user", "content": asked["tool_text"]}]
    first = ask(asked["model"], messages, tools=tools).choices[0].message
    (call,) = first.tool_calls
    messages += [first, {"role": "tool", "tool_call_id": call.id, "content": "on its way"}]
    second = ask(asked["model"], messages, tools=tools)
    return {"name": call.function.name, "answer": second.choices[0].message.content}


def formatted():
    wanted = {"type": "json_schema", "json_schema": {"name": "order", "strict": True, "schema": asked["schema"]}}
    return json.loads(ask(asked["model"], "An order", response_format=wanted).choices[0].message.content)


def refused(model, text, other=client):
    try:
        ask(model, text, other)
    except openai.APIStatusError as error:
        return error.status_code
    return "no error"


def abandoned():
    with ask(asked["model"], asked["endless_text"], stream=True) as stream:
        next(stream)
    return True


print(
    json.dumps(
        {
            "plain": ask(asked["model"], "Hello").choices[0].message.content,
            "stream": streamed(asked["model"], asked["slow_text"]),
            "flow": ask(asked["flow"], "Hello").choices[0].message.content,
            "flow_stream": streamed(asked["flow"], "Hello")["text"],
            "tool": tool(),
            "format": formatted(),
            "models": [model.id for model in client.models.list()],
            "unknown": refused("flow/none", "Hello"),
            "stranger": refused(asked["model"], "Hello", client.with_options(api_key="cs_wrong")),
            "quota": refused(asked["model"], asked["quota_text"]),
            "abandoned": abandoned(),
        }
    )
)
