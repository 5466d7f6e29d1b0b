// Which runner of a project this is. The first one owns .storage and .shmastra/runner.json; one more, on another port, for example
// `PORT=4200 pnpm dev` beside the one that pm2 keeps, has storage of its own: DuckDB lets one process write a file.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from './copy.mjs';

const PID_CHARS = 16;

/** Say where this process keeps things: {isFirst, storage, told}. */
export function settle(root) {
  for (const folder of ['.storage', '.logs', '.shmastra', '.mastra']) mkdirSync(join(root, folder), { recursive: true });
  const owner = claim(join(root, '.shmastra/runner.pid'));
  if (owner === process.pid) return { isFirst: true, storage: join(root, '.storage'), told: join(root, '.shmastra/runner.json') };
  const own = join(root, '.shmastra', `beside-${process.env.PORT ?? 4111}`); // `mastra dev` empties .mastra
  mkdirSync(join(own, 'storage'), { recursive: true });
  console.error(`[runner] a dev server of this project runs already (process ${owner}); this one keeps its data in ${own}`);
  return { isFirst: false, storage: join(own, 'storage'), told: join(own, 'runner.json') };
}

/** Return the pid that owns the file: this process's, unless another runner that lives has it. A full disk keeps nobody from running. */
function claim(file) {
  const owner = ownerOf(file);
  if (owner) return owner;
  const scratch = `${file}.${process.pid}`;
  const text = String(process.pid).padEnd(PID_CHARS);
  try {
    writeFileSync(scratch, text);
    renameSync(scratch, file);
  } catch {
    rmSync(scratch, { force: true });
    overwrite(file, text);
  }
  return process.pid;
}

// As long as what stands there, it takes no room.
function overwrite(file, text) {
  try { writeFileSync(file, text, { flag: 'r+' }); }
  catch (error) { console.error(`[runner] cannot write ${file}: ${error.message}`); }
}

/** Return the pid of the runner that lives and owns the project's files, or null. */
export function ownerOf(file) {
  let pid;
  try { pid = Number(readFileSync(file, 'utf8')); }
  catch { return null; }
  return pid !== process.pid && isAlive(pid) && isRunner(pid) ? pid : null;
}

function isRunner(pid) {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('runner/main.mjs'); }
  catch { return false; }
}
