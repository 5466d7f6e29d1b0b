// Says whether a project's code loads: `node check.mjs [FOLDER]` prints {ok, errors:[{file,line,column,message}]}, exit status 0 or 1.
// With --readable it prints the same for people. The code runs in a process of its own, in a copy with empty databases.
import { spawn } from 'node:child_process';
import { realpathSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { copyOf } from './copy.mjs';
import { environ } from './environ.mjs';
import { problem } from './errors.mjs';
import { LOAD_SECONDS, VERDICT_FD, verdictOf } from './verdict.mjs';

const GRACE_MS = 3_000;
const here = dirname(fileURLToPath(import.meta.url));
let copy, child;

function arguments_() {
  const options = { readable: { type: 'boolean' }, seconds: { type: 'string', default: String(LOAD_SECONDS) } };
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    if (!(Number(values.seconds) > 0) || positionals.length > 1) throw new Error('one folder, and --seconds above 0');
    return { ...values, seconds: Number(values.seconds), folder: positionals[0] };
  } catch (error) {
    console.error(`usage: check.mjs [FOLDER] [--readable] [--seconds N]\n${error.message}`);
    process.exit(2);
  }
}

/** Check the code of a project's folder. */
async function check(root, seconds) {
  copy = copyOf(root);
  const env = { MASTRA_AUTH_TOKEN: 'check', ...environ(root)(), SHMASTRA_PROJECT: copy, SHMASTRA_STORAGE: join(copy, '.storage') };
  child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(here, 'trial.mjs'), root, String(seconds)],
    { cwd: copy, env, detached: true, stdio: ['ignore', 2, 2, 'pipe'] },
  );
  const limit = setTimeout(end, seconds * 1000 + GRACE_MS);
  const { ok, errors } = await verdictOf(child);
  clearTimeout(limit);
  return { ok, errors };
}

// Whatever the code started while it loaded goes with it.
function end() {
  try { if (child?.pid) process.kill(-child.pid, 'SIGKILL'); }
  catch (error) { if (error.code !== 'ESRCH') throw error; }
}

function clear() {
  end();
  if (copy) rmSync(copy, { recursive: true, force: true, maxRetries: 3 });
}

function readable({ ok, errors }) {
  if (ok) return 'The code loads.\n';
  const lines = errors.map(({ file, line, column, message }) => `  ${[file, line, column].filter(Boolean).join(':') || 'src'}  ${message}`);
  return `The code does not load:\n${lines.join('\n')}\n`;
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.once(signal, () => (clear(), process.exit(1)));
const asked = arguments_();
let result;
try {
  result = await check(realpathSync(resolve(asked.folder ?? process.env.SHMASTRA_PROJECT ?? '.')), asked.seconds);
} catch (error) {
  result = { ok: false, errors: [error.problem ?? problem(error.message)] };
} finally {
  clear();
}
process.exitCode = result.ok ? 0 : 1;
process.stdout.write(asked.readable ? readable(result) : `${JSON.stringify(result)}\n`);
