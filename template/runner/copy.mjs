// A throw-away copy of a project to load code in: everything but its databases, history, logs and packages.
import { constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Unusable } from './unusable.mjs';

const PREFIX = 'shmastra-check-';
const MAX_FILES = 10_000;
const COPIED_BYTES = 4 << 20; // larger files are linked
const LEFT_OUT = new Set(['.storage', '.shmastra', '.mastra', '.logs', '.git', 'node_modules']);
const DATABASE = /\.(?:db|duckdb|sqlite3?)(?:[-.](?:wal|shm|journal))?$/;
const packages = join(dirname(dirname(fileURLToPath(import.meta.url))), 'node_modules');

/** Make a copy and return its path; copies left behind by killed processes are removed. */
export function copyOf(root) {
  sweep();
  if (!existsSync(join(root, 'src'))) throw new Unusable(`${root} has no src folder.`);
  const copy = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  mirror(root, copy, LEFT_OUT, { files: MAX_FILES });
  const own = join(root, 'node_modules');
  symlinkSync(existsSync(own) ? own : packages, join(copy, 'node_modules'));
  mkdirSync(join(copy, '.storage'));
  return copy;
}

function mirror(from, to, leftOut, budget) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (leftOut.has(entry.name) || DATABASE.test(entry.name)) continue;
    if (--budget.files < 0) throw new Unusable(`The project holds more than ${MAX_FILES} files beside its packages.`);
    if (entry.isDirectory()) {
      mkdirSync(target);
      mirror(source, target, new Set(['node_modules', '.git']), budget);
    } else if (entry.isFile() && statSync(source).size <= COPIED_BYTES) {
      copyFileSync(source, target, constants.COPYFILE_FICLONE);
    } else if (entry.isFile() || entry.isSymbolicLink()) {
      symlinkSync(source, target);
    }
  }
}

function sweep() {
  for (const name of readdirSync(tmpdir()).filter(one => one.startsWith(PREFIX))) {
    if (!isAlive(Number(name.slice(PREFIX.length).split('-')[0]))) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

export function isAlive(pid) {
  try { return process.kill(pid, 0); }
  catch (error) { return error.code === 'EPERM'; }
}
