// The official npm SDK.
import OpenAI from "openai";

const asked = JSON.parse(process.argv[2]);
const client = new OpenAI({ baseURL: asked.base_url, apiKey: asked.key });
const user = (text) => [{ role: "user", content: text }];

async function streamed(model, text) {
  const stream = await client.chat.completions.create({
    model, messages: user(text), stream: true, stream_options: { include_usage: true },
  });
  const pieces = [];
  let tokens = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) pieces.push(chunk.choices[0].delta.content);
    if (chunk.usage) tokens = chunk.usage.completion_tokens;
  }
  return { pieces: pieces.length, text: pieces.join(""), tokens };
}

async function plain(model, text) {
  const answer = await client.chat.completions.create({ model, messages: user(text) });
  return answer.choices[0].message.content;
}

async function tool() {
  const messages = user(asked.tool_text);
  const tools = [{ type: "function", function: asked.tool }];
  const first = await client.chat.completions.create({ model: asked.model, messages, tools });
  const call = first.choices[0].message.tool_calls[0];
  messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "on its way" });
  const second = await client.chat.completions.create({ model: asked.model, messages, tools });
  return { name: call.function.name, answer: second.choices[0].message.content };
}

async function format() {
  const response_format = { type: "json_schema", json_schema: { name: "order", strict: true, schema: asked.schema } };
  const answer = await client.chat.completions.create({ model: asked.model, messages: user("An order"), response_format });
  return JSON.parse(answer.choices[0].message.content);
}

async function refused(other, model, text) {
  try {
    await other.chat.completions.create({ model, messages: user(text) });
  } catch (error) {
    return error.status;
  }
  return "no error";
}

async function abandoned() {
  const stream = await client.chat.completions.create({ model: asked.model, messages: user(asked.endless_text), stream: true });
  for await (const _ of stream) {
    stream.controller.abort();
    return true;
  }
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);

console.log(JSON.stringify({
  plain: await plain(asked.model, "Hello"),
  stream: await streamed(asked.model, asked.slow_text),
  flow: await plain(asked.flow, "Hello"),
  flow_stream: (await streamed(asked.flow, "Hello")).text,
  tool: await tool(),
  format: await format(),
  models,
  unknown: await refused(client, "flow/none", "Hello"),
  stranger: await refused(new OpenAI({ baseURL: asked.base_url, apiKey: "cs_wrong" }), asked.model, "Hello"),
  quota: await refused(client, asked.model, asked.quota_text),
  abandoned: await abandoned(),
}));
