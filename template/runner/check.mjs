// Says whether the project's code loads: `node check.mjs` prints {ok, errors:[{file,line,column,message}]}.
// It loads on a throw-away storage, in a process of its own, and never touches the running server's.
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const real = process.env.SHMASTRA_PROJECT ?? process.cwd();
const copy = mkdtempSync(join(tmpdir(), 'check-'));

function where(error) {
  const place = /file:\/\/([^\s)]+?):(\d+)(?::(\d+))?/.exec(String(error.stack));
  const file = place?.[1].replace(`${copy}/`, '') ?? null;
  return { file, line: Number(place?.[2]) || null, column: Number(place?.[3]) || null, message: error.message };
}

let result;
try {
  cpSync(join(real, 'src'), join(copy, 'src'), { recursive: true });
  cpSync(join(real, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(real, 'node_modules'), join(copy, 'node_modules'));
  (await import('node:fs')).mkdirSync(join(copy, '.storage'));
  process.env.SHMASTRA_PROJECT = copy;
  process.env.MASTRA_AUTH_TOKEN ??= 'check';
  const { entry } = await import('./load.mjs');
  const { mastra } = await import(entry);
  if (typeof mastra?.getServer !== 'function') throw new Error('src/mastra/index.ts exports no `mastra`.');
  result = { ok: true, errors: [] };
} catch (error) {
  result = { ok: false, errors: [where(error)] };
} finally {
  rmSync(copy, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(result.ok ? 0 : 1));
