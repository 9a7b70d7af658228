// LangChain for JavaScript.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";

const asked = JSON.parse(process.argv[2]);
const chat = (model, apiKey = asked.key) =>
  new ChatOpenAI({ model, apiKey, configuration: { baseURL: asked.base_url }, streamUsage: true });

async function streamed(model, text) {
  const pieces = [];
  let tokens = 0;
  for await (const chunk of await chat(model).stream(text)) {
    if (chunk.content) pieces.push(chunk.content);
    tokens = chunk.usage_metadata?.output_tokens ?? tokens;
  }
  return { pieces: pieces.length, text: pieces.join(""), tokens };
}

async function tool() {
  const bound = chat(asked.model).bindTools([{ type: "function", function: asked.tool }]);
  const messages = [new HumanMessage(asked.tool_text)];
  const first = await bound.invoke(messages);
  const call = first.tool_calls[0];
  messages.push(first, new ToolMessage({ tool_call_id: call.id, content: "on its way" }));
  return { name: call.name, answer: (await bound.invoke(messages)).content };
}

async function refused(model, text, key) {
  try {
    await chat(model, key).invoke(text);
  } catch (error) {
    return error.status;
  }
  return "no error";
}

async function abandoned() {
  const controller = new AbortController();
  const stream = await chat(asked.model).stream(asked.endless_text, { signal: controller.signal });
  try {
    for await (const _ of stream) controller.abort();
  } catch {
    return true;
  }
  return false;
}

console.log(JSON.stringify({
  plain: (await chat(asked.model).invoke("Hello")).content,
  stream: await streamed(asked.model, asked.slow_text),
  flow: (await chat(asked.flow).invoke("Hello")).content,
  flow_stream: (await streamed(asked.flow, "Hello")).text,
  tool: await tool(),
  format: await chat(asked.model).withStructuredOutput(asked.schema, { name: "order", method: "jsonSchema" }).invoke("An order"),
  unknown: await refused("flow/none", "Hello"),
  stranger: await refused(asked.model, "Hello", "cs_wrong"),
  quota: await refused(asked.model, asked.quota_text),
  abandoned: await abandoned(),
}));
