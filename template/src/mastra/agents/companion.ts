import { Agent } from '@mastra/core/agent';
import { Memory } from '@mastra/memory';
import { getModel } from '../models';
import { clock } from '../tools/clock';

// A small agent to begin from: a model by tier, one tool, and the last ten messages of a conversation as its memory.
export const companion = new Agent({
  id: 'companion',
  name: 'Companion',
  description: 'Answers everyday questions and knows what time it is; a small example to begin from.',
  instructions:
    'You answer questions in a few plain sentences. When an answer depends on the present date or time, use the clock ' +
    'tool instead of guessing. If you do not know something, say so.',
  model: async () => getModel('fast'),
  tools: { clock },
  memory: new Memory({ options: { lastMessages: 10 } }),
});
