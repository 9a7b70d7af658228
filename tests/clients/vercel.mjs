// Vercel's AI SDK.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";

const asked = JSON.parse(process.argv[2]);
const provider = (apiKey = asked.key) =>
  createOpenAICompatible({
    name: "chatstep", baseURL: asked.base_url, apiKey, includeUsage: true, supportsStructuredOutputs: true,
  });
const ask = async (model, prompt) => (await generateText({ model: provider()(model), prompt })).text;

async function streamed(model, prompt) {
  const result = streamText({ model: provider()(model), prompt });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  return { pieces: pieces.length, text: pieces.join(""), tokens: (await result.usage).outputTokens };
}

async function withTool() {
  let name = null;
  const find = tool({
    description: "Finds an order", inputSchema: jsonSchema(asked.tool.parameters),
    execute: async () => "on its way",
  });
  const result = await generateText({
    model: provider()(asked.model), prompt: asked.tool_text, tools: { [asked.tool.name]: find }, stopWhen: stepCountIs(3),
    onStepFinish: (step) => { name = step.toolCalls[0]?.toolName ?? name; },
  });
  return { name, answer: result.text };
}

async function format() {
  const output = Output.object({ schema: jsonSchema(asked.schema) });
  return (await generateText({ model: provider()(asked.model), prompt: "An order", output })).output;
}

async function refused(model, prompt, key) {
  try {
    await generateText({ model: provider(key)(model), prompt, maxRetries: 0 });
  } catch (error) {
    return error.statusCode;
  }
  return "no error";
}

async function abandoned() {
  const controller = new AbortController();
  const result = streamText({ model: provider()(asked.model), prompt: asked.endless_text, abortSignal: controller.signal });
  for await (const _ of result.textStream) controller.abort();
  return true;
}

console.log(JSON.stringify({
  plain: await ask(asked.model, "Hello"),
  stream: await streamed(asked.model, asked.slow_text),
  flow: await ask(asked.flow, "Hello"),
  flow_stream: (await streamed(asked.flow, "Hello")).text,
  tool: await withTool(),
  format: await format(),
  unknown: await refused("flow/none", "Hello"),
  stranger: await refused(asked.model, "Hello", "cs_wrong"),
  quota: await refused(asked.model, asked.quota_text),
  abandoned: await abandoned(),
}));
