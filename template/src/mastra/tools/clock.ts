import { createTool } from '@mastra/core/tools';
import { z } from 'zod';

export const clock = createTool({
  id: 'clock',
  description: 'Tells the present date and time in UTC. Use it for questions about today, now, or how long until something.',
  inputSchema: z.object({}),
  outputSchema: z.object({ now: z.string() }),
  execute: async () => ({ now: new Date().toISOString() }),
});
