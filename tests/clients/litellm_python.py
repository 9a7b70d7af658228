"""LiteLLM, with the server as a provider that speaks OpenAI's protocol."""

import json
import sys

import litellm

asked = json.loads(sys.argv[1])


def ask(model, text, key=asked["key"], **more):
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return litellm.completion(f"openai/{model}", messages=messages, api_key=key, api_base=asked["base_url"], **more)


def streamed(model, text):
    pieces, tokens = [], 0
    for chunk in ask(model, text, stream=True, stream_options={"include_usage": True}):
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
        if getattr(chunk, "usage", None):
            tokens = chunk.usage.completion_tokens
    return {"pieces": len(pieces), "text": "".join(pieces), "tokens": tokens}


def tool():
    tools = [{"type": "function", "function": asked["tool"]}]
    messages = [{"role": "user", "content": asked["tool_text"]}]
    first = ask(asked["model"], messages, tools=tools).choices[0].message
    (call,) = first.tool_calls
    messages += [first.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "on its way"}]
    second = ask(asked["model"], messages, tools=tools)
    return {"name": call.function.name, "answer": second.choices[0].message.content}


def formatted():
    wanted = {"type": "json_schema", "json_schema": {"name": "order", "strict": True, "schema": asked["schema"]}}
    return json.loads(ask(asked["model"], "An order", response_format=wanted).choices[0].message.content)


def refused(model, text, key=asked["key"]):
    try:
        ask(model, text, key)
    except Exception as error:
        return error.status_code
    return "no error"


def abandoned():
    stream = ask(asked["model"], asked["endless_text"], stream=True)
    next(iter(stream))
    stream.completion_stream.close()
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
            "unknown": refused("flow/none", "Hello"),
            "stranger": refused(asked["model"], "Hello", "cs_wrong"),
            "quota": refused(asked["model"], asked["quota_text"]),
            "abandoned": abandoned(),
        }
    )
)
