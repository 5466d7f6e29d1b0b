// `pnpm dev:mastra`: Mastra's own dev server, with its bundler; where our runner runs too, on storage of its own.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { environ } from './environ.mjs';
import { ownerOf } from './place.mjs';

const project = process.env.SHMASTRA_PROJECT ?? process.cwd();
const isBeside = ownerOf(join(project, '.shmastra/runner.pid')) !== null;
const storage = join(project, isBeside ? '.mastra-dev' : '.storage');
mkdirSync(storage, { recursive: true });
if (isBeside) console.error(`[runner] a dev server of this project runs already; this one keeps its data in ${storage}`);

const env = { ...environ(project)(), SHMASTRA_PROJECT: project, SHMASTRA_STORAGE: storage, MASTRA_TELEMETRY_DISABLED: '1' };
const child = spawn(join(project, 'node_modules/.bin/mastra'), ['dev', ...process.argv.slice(2)], { cwd: project, env, stdio: 'inherit' });
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', error => { console.error(error.message); process.exitCode = 1; });
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
