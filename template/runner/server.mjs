// The dev server itself: the project's Mastra behind Mastra's own HTTP server, without a bundler.
import { offerCheckpoints } from './checkpoint-server.mjs';
import { load, project } from './load.mjs';
import { LOAD_SECONDS, judge } from './verdict.mjs';

process.env.MASTRA_DEV = 'true';
process.on('disconnect', () => process.exit(1)); // never outlive the runner
if (process.env.SHMASTRA_CHECKPOINTS) {
  await offerCheckpoints(project).catch(error => console.error(`[runner] checkpoints cannot be asked for: ${error.message}`));
}
const mastra = await judge(project, LOAD_SECONDS, load);
const { createNodeServer } = await import('@mastra/deployer/server');
const server = await createNodeServer(mastra, { studio: false, isDev: true, tools: [] });
if (server.listening) process.send('listening');
else server.once('listening', () => process.send('listening'));
