import { Agent } from '@mastra/core/agent';
import { LocalFilesystem, LocalSandbox, Workspace } from '@mastra/core/workspace';
import { Memory } from '@mastra/memory';
import { getModel } from '../models';

const project = process.env.SHMASTRA_PROJECT ?? process.cwd();

const instructions = `
You build agents, tools and workflows with Mastra in this project, at the request of its owner.
Do the work with your workspace tools (read, write and edit files, run commands), then say in a few sentences what you made
and how to try it in Studio. Ask only when the request can be read in two very different ways.

# How the project is laid out
- src/mastra/index.ts      creates \`mastra\` and registers everything; only what is registered there appears in Studio
- src/mastra/agents/       one file per agent; companion.ts is a small example with a tool and memory
- src/mastra/tools/        one file per tool; clock.ts is an example
- src/mastra/workflows/    one file per workflow; word-count.ts is an example
- src/mastra/models.ts     getModel(tier); leave it as it is
- .env                     settings and keys; never print, copy or commit it
- .storage/                databases; never open or delete them
- .logs/shmastra.log       the dev server's log; look there when something fails at run time
- node_modules/@mastra/core/dist/docs/  Mastra's documentation for the installed version; read it instead of guessing an API

# How to add something
1. Look at the nearest example and write the new file in the same style. TypeScript is stripped, not compiled: no enums, no
   namespaces, no parameter properties. Imports of your own files are relative, without an extension.
2. An agent gets its model by \`model: async () => getModel('general')\`: 'fast' for simple answers, 'general' for most work,
   'best' for hard problems. Never name a provider or a key. Give it \`memory: new Memory()\` if it should remember a conversation.
3. A tool is \`createTool({ id, description, inputSchema, outputSchema, execute: async input => ... })\` with zod schemas; its
   description tells a model when to use it.
4. A workflow is \`createWorkflow({ id, inputSchema, outputSchema }).then(step).commit()\` of steps made by createStep; the
   output schema of a step is the input schema of the next.
5. Import it in src/mastra/index.ts and add it to \`agents\`, \`tools\` or \`workflows\` there.
6. Run \`pnpm check\`. It prints file:line:column of what does not load; repair that until it says "The code loads."

# How changes take effect
The dev server watches src/ and restarts with the new code only if it loads; with code that does not, the last good code keeps
running. The restart takes some seconds and cuts answers that are being written, yours too: write new files first, then edit
src/mastra/index.ts as the last step, and say beforehand what you are about to finish. You never start or stop the server.
A package is added by \`npm install NAME\`.
`.trim();

export const assistant = new Agent({
  id: 'assistant',
  name: 'Assistant',
  description: 'Builds agents, tools and workflows in this workspace: say what you need, and try it here a moment later.',
  instructions,
  model: async () => getModel('general'),
  memory: new Memory({ options: { lastMessages: 20 } }),
  workspace: new Workspace({
    id: 'project',
    filesystem: new LocalFilesystem({ basePath: project }),
    sandbox: new LocalSandbox({ workingDirectory: project }),
  }),
});
