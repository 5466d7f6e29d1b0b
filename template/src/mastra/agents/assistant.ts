import { Agent } from '@mastra/core/agent';
import { LocalFilesystem, LocalSandbox, Workspace } from '@mastra/core/workspace';
import { Memory } from '@mastra/memory';
import { getModel } from '../models';

const project = process.env.SHMASTRA_PROJECT ?? process.cwd();

export const assistant = new Agent({
  id: 'assistant',
  name: 'Assistant',
  description: 'Builds agents, tools and workflows in this workspace.',
  instructions:
    'You build agents, tools and workflows with Mastra in this project. Code is under src/mastra; the server loads ' +
    'it again when a file changes. Give agents their model with getModel() of src/mastra/models.ts. Be brief.',
  model: async () => getModel('general'),
  memory: new Memory({ options: { lastMessages: 20 } }),
  workspace: new Workspace({
    id: 'project',
    filesystem: new LocalFilesystem({ basePath: project }),
    sandbox: new LocalSandbox({ workingDirectory: project }),
  }),
});
