// `pnpm dev`: runs the server, watches the code, and restarts the server with new code only when that code loads.
// What it does stands in .shmastra/runner.json: {state, pid, since, lastRejected}. States: starting, running, reloading; broken,
// when there is no server because the code does not load (it waits for a change and starts by itself); crashed; stopped.
import { fork, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environ } from './environ.mjs';
import { problem } from './errors.mjs';
import { fingerprint } from './listing.mjs';
import { settle } from './place.mjs';
import { Told, lastPid } from './told.mjs';
import { VERDICT_FD, LOAD_SECONDS, verdictOf } from './verdict.mjs';
import { Watch } from './watch.mjs';

const CHECK_MS = (LOAD_SECONDS + 10) * 1000;
const LOAD_MS = (LOAD_SECONDS + 5) * 1000;
const STOP_MS = 5_000; // below pm2's kill_timeout
const QUIET = '--disable-warning=ExperimentalWarning';
const here = dirname(fileURLToPath(import.meta.url));
const project = process.env.SHMASTRA_PROJECT ?? process.cwd();
const environment = environ(project);
const { isFirst, storage, told: file } = settle(project);
const told = new Told(file);
let server, checker, used, rejected, looking = false, again = false, stopping = false;

function env() {
  return {
    NODE_COMPILE_CACHE: join(project, '.mastra/compile-cache'),
    ...environment(),
    SHMASTRA_PROJECT: project,
    SHMASTRA_STORAGE: storage,
    SHMASTRA_CHECKPOINTS: isFirst ? '1' : '',
  };
}

/** Start the server; where its code does not load, wait for a change. */
async function start() {
  used = fingerprint(project);
  const child = (server = fork(join(here, 'server.mjs'), {
    cwd: project, env: env(), execArgv: [QUIET], stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'],
  }));
  told.tell({ state: told.state === 'reloading' ? 'reloading' : 'starting', pid: child.pid });
  child.on('message', message => message === 'listening' && told.tell({ state: 'running', lastRejected: null }));
  const ended = new Promise(done => child.once('exit', (code, signal) => done({ code, signal })));
  const limit = setTimeout(() => child.kill('SIGKILL'), LOAD_MS);
  const { ok, errors, signal } = await verdictOf(child);
  clearTimeout(limit);
  if (ok || signal) return void ended.then(({ code, signal }) => crashed(child, code, signal));
  await ended;
  if (stopping) return;
  server = null;
  told.reject(errors, { state: 'broken', pid: null });
  console.error('[runner] the code does not load; waiting for it to change');
}

/** What is left to do when a server ended that nobody stopped: pm2 and the healer decide what happens next. */
function crashed(child, code, signal) {
  if (stopping || child.isStopped) return;
  console.error(`[runner] the server ended by itself: ${signal ?? `exit status ${code}`}`);
  told.tell({ state: 'crashed', pid: null });
  checker?.kill('SIGTERM');
  process.exit(code || 1);
}

function stop(child) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.isStopped = true;
  return new Promise(done => {
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    child.once('exit', () => (clearTimeout(limit), done()));
    child.kill('SIGTERM');
  });
}

function check() {
  return new Promise(done => {
    checker = spawn(process.execPath, [QUIET, join(here, 'check.mjs'), project], {
      cwd: project, env: env(), stdio: ['ignore', 'pipe', 'ignore'], timeout: CHECK_MS,
    });
    let said = '';
    checker.stdout.on('data', data => (said += data));
    checker.on('error', error => (said = JSON.stringify({ ok: false, errors: [problem(error.message)] })));
    checker.on('close', () => {
      try { done(JSON.parse(said)); }
      catch { done({ ok: false, errors: [problem('the check did not end')] }); }
    });
  });
}

/** Compare the code with what is used, and use it where it is another and loads. */
async function look(polled = false) {
  if (looking) return void (again = true);
  looking = true;
  try {
    do {
      again = false;
      watch.renew();
      await use(fingerprint(project), polled);
    } while (again && !stopping);
  } finally {
    looking = false;
  }
}

async function use(present, polled) {
  if (stopping || (polled && present === rejected)) return;
  if (present === used && told.state !== 'broken') return told.accept();
  const { ok, errors } = await check();
  if (stopping || again) return; // where it changed meanwhile, it is looked at again
  rejected = ok ? undefined : present;
  if (!ok) return told.reject(errors);
  told.tell({ state: server ? 'reloading' : 'starting' });
  await stop(server);
  await start();
}

/** End a server that outlived its runner, so that it holds neither the port nor the databases. */
function endLeftOver() {
  const pid = lastPid(file);
  try {
    if (pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(join(here, 'server.mjs'))) process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
  }
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, async () => {
    if (stopping) return;
    stopping = true;
    checker?.kill('SIGTERM');
    await stop(server);
    told.tell({ state: 'stopped', pid: null });
    process.exit(0);
  });
}
endLeftOver();
const watch = new Watch(project, look);
await start();
