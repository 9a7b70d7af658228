"""LangChain for Python."""

import json
import sys

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

asked = json.loads(sys.argv[1])


def chat(model, key=asked["key"]):
    return ChatOpenAI(model=model, api_key=key, base_url=asked["base_url"], stream_usage=True)


def streamed(model, text):
    pieces, tokens = [], 0
    for chunk in chat(model).stream(text):
        if chunk.content:
            pieces.append(chunk.content)
        if chunk.usage_metadata:
            tokens = chunk.usage_metadata["output_tokens"]
    return {"pieces": len(pieces), "text": "".join(pieces), "tokens": tokens}


def tool():
    bound = chat(asked["model"]).bind_tools([{"type": "function", "function": asked["tool"]}])
    messages = [HumanMessage(asked["tool_text"])]
    first = bound.invoke(messages)
    (call,) = first.tool_calls
    messages += [first, ToolMessage("on its way", tool_call_id=call["id"])]
    return {"name": call["name"], "answer": bound.invoke(messages).content}


def formatted():
    schema = {"title": "order", **asked["schema"]}
    return chat(asked["model"]).with_structured_output(schema, method="json_schema").invoke("An order")


def refused(model, text, key=asked["key"]):
    try:
        chat(model, key).invoke(text)
    except openai.APIStatusError as error:
        return error.status_code
    return "no error"


def abandoned():
    stream = chat(asked["model"]).stream(asked["endless_text"])
    next(stream)
    stream.close()
    return True


print(
    json.dumps(
        {
            "plain": chat(asked["model"]).invoke("Hello").content,
            "stream": streamed(asked["model"], asked["slow_text"]),
            "flow": chat(asked["flow"]).invoke("Hello").content,
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
