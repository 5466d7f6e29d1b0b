import { createStep, createWorkflow } from '@mastra/core/workflows';
import { z } from 'zod';

const split = createStep({
  id: 'split',
  inputSchema: z.object({ text: z.string() }),
  outputSchema: z.object({ words: z.array(z.string()) }),
  execute: async ({ inputData }) => ({ words: inputData.text.split(/\s+/).filter(Boolean) }),
});

const count = createStep({
  id: 'count',
  inputSchema: z.object({ words: z.array(z.string()) }),
  outputSchema: z.object({ count: z.number() }),
  execute: async ({ inputData }) => ({ count: inputData.words.length }),
});

export const wordCount = createWorkflow({
  id: 'word-count',
  description: 'Counts the words of a text; needs no model.',
  inputSchema: z.object({ text: z.string() }),
  outputSchema: z.object({ count: z.number() }),
})
  .then(split)
  .then(count)
  .commit();
