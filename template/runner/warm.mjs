// Run once while the template is built: loads all that the dev server loads, so that Node's compiled form of it is in
// .mastra/compile-cache. It leaves no database, and listens on no port that anybody could reach.
import { mkdirSync, rmSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { join } from 'node:path';

const root = process.cwd();
const storage = join(root, '.mastra/warm');
enableCompileCache(join(root, '.mastra/compile-cache'));
Object.assign(process.env, {
  MASTRA_AUTH_TOKEN: 'warm', MASTRA_API_PREFIX: '/api/mastra', MASTRA_DEV: 'true', MASTRA_TELEMETRY_DISABLED: '1', PORT: '0',
  SHMASTRA_PROJECT: root, SHMASTRA_STORAGE: storage,
});
mkdirSync(storage, { recursive: true });
await import('./checkpoint-server.mjs');
await import('./verdict.mjs');
const { load } = await import('./load.mjs');
const mastra = await load();
const { createHonoServer, createNodeServer } = await import('@mastra/deployer/server');
const app = await createHonoServer(mastra, { studio: false, isDev: true, tools: [] });
const headers = { 'x-mastra-auth-token': 'warm' };
for (const path of ['/health', '/api/mastra/agents', '/api/mastra/workflows']) {
  const answer = await app.request(path, { headers });
  if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`);
}
await createNodeServer(mastra, { studio: false, isDev: true, tools: [] });
flushCompileCache();
rmSync(storage, { recursive: true, force: true });
process.exit(0);
