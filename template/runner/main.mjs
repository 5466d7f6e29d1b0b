// `pnpm dev`: runs the server, watches src/, and restarts it with new code only when that code loads.
// What it does stands in .shmastra/runner.json: {state, pid, since, lastRejected}.
import { fork, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, watch, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DEBOUNCE_MS = 150;
const CHECK_MS = 30_000;
const STOP_MS = 5_000;
const here = dirname(fileURLToPath(import.meta.url));
const project = process.env.SHMASTRA_PROJECT ?? process.cwd();
const watched = new Map();
let server, timer, checking = false, again = false, stopping = false;
let told = { state: 'starting', pid: null, since: new Date().toISOString(), lastRejected: null };

process.env.NODE_COMPILE_CACHE ??= join(project, '.mastra/compile-cache');
for (const folder of ['.storage', '.logs', '.shmastra', '.mastra']) mkdirSync(join(project, folder), { recursive: true });

function tell(change) {
  told = { ...told, ...change };
  const file = join(project, '.shmastra/runner.json');
  writeFileSync(`${file}.new`, JSON.stringify(told));
  renameSync(`${file}.new`, file);
}

function start() {
  server = fork(join(here, 'server.mjs'), { cwd: project, stdio: 'inherit' });
  tell({ state: 'starting', pid: server.pid, since: new Date().toISOString() });
  server.on('message', () => tell({ state: 'running' }));
  server.on('exit', code => {
    if (stopping) return;
    tell({ state: 'crashed', pid: null });
    process.exit(code || 1); // pm2 and the healer decide what happens next
  });
}

function stop() {
  return new Promise(done => {
    const old = server;
    old.removeAllListeners('exit');
    const kill = setTimeout(() => old.kill('SIGKILL'), STOP_MS);
    old.once('exit', () => (clearTimeout(kill), done()));
    old.kill('SIGTERM');
  });
}

function check() {
  return new Promise(done => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(here, 'check.mjs')], {
      cwd: project, stdio: ['ignore', 'pipe', 'inherit'], timeout: CHECK_MS,
    });
    let said = '';
    child.stdout.on('data', data => (said += data));
    child.on('close', () => {
      try { done(JSON.parse(said.trim().split('\n').pop())); }
      catch { done({ ok: false, errors: [{ file: null, line: null, column: null, message: 'the check did not end' }] }); }
    });
  });
}

async function changed() {
  if (checking) { again = true; return; }
  checking = true;
  try {
    const result = await check();
    if (!result.ok) {
      tell({ lastRejected: { at: new Date().toISOString(), errors: result.errors } });
      console.error('[runner] the change does not load and is not used:', JSON.stringify(result.errors));
    } else {
      await stop();
      tell({ lastRejected: null });
      start();
    }
  } finally {
    checking = false;
    if (again) { again = false; await changed(); }
  }
}

// One watch per folder: a recursive one misses files that are replaced by renaming.
function watchFolders(folder) {
  if (!watched.has(folder)) {
    const one = watch(folder, () => {
      clearTimeout(timer);
      timer = setTimeout(() => (watchFolders(join(project, 'src')), changed()), DEBOUNCE_MS);
    });
    one.on('error', () => (one.close(), watched.delete(folder)));
    watched.set(folder, one);
  }
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) watchFolders(join(folder, entry.name));
  }
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, async () => { stopping = true; await stop(); process.exit(0); });
}
start();
watchFolders(join(project, 'src'));
