// The databases under a project's .storage, known by their first bytes, and the libraries that open them.
import { closeSync, openSync, readSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';

const MAX_DATABASES = 64;
const SQLITE = 'SQLite format 3\0'; // https://sqlite.org/fileformat2.html#the_database_header
const DUCKDB = 'DUCK'; // at byte 8: https://duckdb.org/docs/stable/internals/storage

export const SOCKET = '.shmastra/checkpoint.sock';

/** List the databases under `folder`: [{name, path, kind}], name relative to it, kind 'sqlite' or 'duckdb'. */
export function databases(folder) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const kind = kindOf(path);
    if (kind) found.push({ name: relative(folder, path), path, kind });
  }
  if (found.length > MAX_DATABASES) throw new Error(`${folder} holds more than ${MAX_DATABASES} databases`);
  return found;
}

function kindOf(path) {
  const head = Buffer.alloc(16);
  let file;
  try {
    file = openSync(path, 'r');
    readSync(file, head, 0, 16, 0);
  } catch { return null; } // it went while we looked
  finally { if (file !== undefined) closeSync(file); }
  if (head.toString('latin1') === SQLITE) return 'sqlite';
  return head.toString('latin1', 8, 12) === DUCKDB ? 'duckdb' : null;
}

/** Load a package through those that depend on it, as a package manager that nests them needs it. */
export function through(project, ...names) {
  let from = createRequire(join(project, 'package.json'));
  for (const name of names.slice(0, -1)) from = createRequire(from.resolve(name));
  return from(names.at(-1));
}

/** Copy a DuckDB that `connection` has open to a new file, as it is at one moment. */
export async function copyDuckDB(connection, target) {
  const name = (await (await connection.run('SELECT current_database()')).getRows())[0][0];
  const other = `checkpoint_${process.pid}_${Date.now()}`;
  await connection.run(`ATTACH '${target.replaceAll("'", "''")}' AS ${other}`);
  try {
    await connection.run(`COPY FROM DATABASE "${String(name).replaceAll('"', '""')}" TO ${other}`);
  } finally {
    await connection.run(`DETACH ${other}`);
  }
}
