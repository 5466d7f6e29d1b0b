import { Agent } from '@mastra/core/agent';
import { Memory } from '@mastra/memory';
import { getModel } from '../models';
import { clock } from '../tools/clock';

export const companion = new Agent({
  id: 'companion',
  name: 'Companion',
  description: 'Answers questions; a small example to begin from.',
  instructions: 'You answer questions in a few plain sentences.',
  model: async () => getModel('fast'),
  tools: { clock },
  memory: new Memory({ options: { lastMessages: 10 } }),
});
