// Asks every provider of a gateway through the AI SDK and prints what came back. GATEWAY and KEY say where and as whom.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

globalThis.AI_SDK_LOG_WARNINGS = false; // it would print them among the answer
const { GATEWAY: gateway, KEY: apiKey } = process.env;
const openai = createOpenAI({ apiKey, baseURL: `${gateway}/openai/v1` });
const compatible = createOpenAICompatible({
  name: 'acme',
  apiKey,
  baseURL: `${gateway}/acme/v1`,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const models = {
  responses: openai('gpt-5'),
  chat: openai.chat('gpt-5'),
  anthropic: createAnthropic({ apiKey, baseURL: `${gateway}/anthropic/v1` })('claude-x'),
  google: createGoogleGenerativeAI({ apiKey, baseURL: `${gateway}/google/v1beta` })('gemini-x'),
  compatible: compatible('some-model'),
};
const prompt = 'Please greet me';
const told = {};

for (const [name, model] of Object.entries(models)) {
  const whole = await generateText({ model, prompt });
  const stream = streamText({ model, prompt });
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  const { inputTokens, outputTokens } = await stream.usage;
  told[name] = { whole: whole.text, pieces, usage: [inputTokens, outputTokens] };
}

const schema = z.object({ city: z.string() });
const tools = { weather: tool({ inputSchema: schema, execute: async ({ city }) => `It rains in ${city}` }) };
for (const name of ['chat', 'anthropic', 'compatible']) {
  const done = await generateText({ model: models[name], prompt, tools, stopWhen: stepCountIs(2) });
  told[name].tool = [done.steps[0].toolResults[0].output, done.text];
}
for (const name of ['chat', 'compatible']) {
  told[name].object = (await generateObject({ model: models[name], schema, prompt })).object;
}
told.embedding = (await embed({ model: openai.embeddingModel('text-embedding-3-small'), value: 'a' })).embedding;

const leaving = new AbortController();
const endless = streamText({ model: models.chat, prompt: 'count for ever', abortSignal: leaving.signal });
let seen = 0;
for await (const part of endless.fullStream) {
  if (part.type === 'text-delta' && ++seen === 3) leaving.abort();
  if (part.type === 'abort') told.aborted = seen >= 3;
}

try {
  await generateText({ model: createOpenAI({ apiKey: 'vk_x', baseURL: `${gateway}/openai/v1` })('m'), prompt });
} catch (error) {
  told.refused = [error.statusCode, error.responseHeaders['x-shmastra-error'], error.message];
}
console.log(JSON.stringify(told));
