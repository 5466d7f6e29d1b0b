// In the process that loads the code: says on VERDICT_FD whether it did, even where it never ends.
import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, problem } from './errors.mjs';

export const VERDICT_FD = 3;
export const LOAD_SECONDS = 30;

function tell(errors) {
  try { writeSync(VERDICT_FD, `${JSON.stringify({ ok: !errors.length, errors })}\n`); }
  catch { console.error('[runner] nobody asked for this verdict:', JSON.stringify(errors)); }
}

/**
 * Run `task`, tell the verdict and return what it returned; ends the process where the task fails or takes too long.
 * It ends by SIGKILL, so that nothing of unusable code stays in the compile cache and none of its exit handlers run.
 */
export async function judge(root, seconds, task) {
  const dog = new Worker(new URL('./watchdog.mjs', import.meta.url), { workerData: { root, seconds, fd: VERDICT_FD } });
  dog.unref();
  const reject = error => {
    console.error(error);
    tell([error?.problem ?? describe(error, root)]);
    process.kill(process.pid, 'SIGKILL');
  };
  process.once('uncaughtException', reject);
  try {
    const value = await task();
    tell([]);
    return value;
  } catch (error) {
    return reject(error);
  } finally {
    process.off('uncaughtException', reject);
    await dog.terminate();
  }
}

/** Read the verdict of a process started with a pipe at VERDICT_FD; where it left none, its end is the verdict. */
export function verdictOf(child) {
  return new Promise(done => {
    let said = '';
    child.stdio[VERDICT_FD].setEncoding('utf8').on('data', data => {
      said += data;
      if (said.includes('\n')) done(JSON.parse(said.split('\n')[0]));
    });
    child.on('error', error => done({ ok: false, errors: [problem(`It could not be started: ${error.message}`)] }));
    child.on('close', (status, signal) => done({ ok: false, errors: [problem(ending(status, signal))], signal }));
  });
}

function ending(status, signal) {
  if (status === 13) return 'The code waits at its top level for something that never comes.';
  if (signal) return `The process was ended by ${signal} while the code was loading; it may have used too much memory.`;
  return `The code ended the process while it was loading (exit status ${status}).`;
}
