// The process in which check.mjs lets the code load: it goes as far as a server that would answer, and listens nowhere.
import { load, project, redirect } from './load.mjs';
import { Unusable } from './unusable.mjs';
import { judge } from './verdict.mjs';

const [real, seconds] = [process.argv[2], Number(process.argv[3])];
process.env.MASTRA_DEV = 'true';
redirect(real, project);
await judge(project, seconds, async () => {
  const mastra = await load();
  const { createHonoServer } = await import('@mastra/deployer/server');
  const app = await createHonoServer(mastra, { studio: false, isDev: true, tools: [] });
  const answer = await app.request('/health');
  if (answer.status !== 200) throw new Unusable(`/health would answer ${answer.status}.`);
});
process.kill(process.pid, 'SIGKILL'); // an orderly end would fill the compile cache with the copy's paths
