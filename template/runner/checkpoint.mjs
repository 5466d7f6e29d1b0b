// Makes consistent copies of the project's databases in .shmastra/checkpoint and prints {ok, files:[{name,bytes}]} or {ok, error}.
// SQLite copies itself from here; a DuckDB is copied by the server that has it open or, where none has, from its file and log.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { isAlive } from './copy.mjs';
import { SOCKET, databases, through } from './databases.mjs';

const SERVER_MS = 60_000;
const BUSY_MS = 10_000;
const TRIES = 5;
const project = process.env.SHMASTRA_PROJECT ?? process.cwd();
const storage = join(project, '.storage');
const home = join(project, '.shmastra');
const final = join(home, 'checkpoint');
const made = join(home, `checkpoint.new-${process.pid}`);

async function checkpoint() {
  process.umask(0o077);
  process.chdir(project); // a socket's path is short: this one is named from here
  mkdirSync(home, { recursive: true });
  sweep();
  mkdirSync(made);
  const found = existsSync(storage) ? databases(storage) : [];
  for (const { name } of found) mkdirSync(dirname(join(made, name)), { recursive: true });
  for (const one of found.filter(({ kind }) => kind === 'sqlite')) copySQLite(one);
  await copyDuckDBs(found.filter(({ kind }) => kind === 'duckdb'));
  for (const { name } of found) chmodSync(join(made, name), 0o600);
  const files = found.map(({ name }) => ({ name, bytes: statSync(join(made, name)).size }));
  replace();
  return { ok: true, files };
}

// libSQL's own library, since it knows index types that SQLite does not.
function copySQLite({ name, path }) {
  const Database = through(project, '@mastra/libsql', '@libsql/client', 'libsql');
  const database = new Database(path, { timeout: BUSY_MS });
  try {
    database.exec(`VACUUM INTO '${join(made, name).replaceAll("'", "''")}'`);
  } finally {
    database.close();
  }
}

async function copyDuckDBs(files) {
  let left = files;
  for (let turn = 0; left.length; turn++) {
    if (turn === TRIES) throw new Error(`${left[0].name} kept changing and the server did not have it open; try again.`);
    for (const { name } of left) rmSync(join(made, name), { force: true });
    const { ok, copied, error } = await ask({ target: made, files: left });
    if (!ok) throw new Error(error);
    const rest = [];
    for (const one of left.filter(({ name }) => !copied.includes(name))) if (!(await copyAtRest(one))) rest.push(one);
    left = rest;
  }
}

/** Ask the server to copy; where none runs it copied nothing. */
function ask(request) {
  return new Promise((done, failed) => {
    let said = '';
    const connection = connect(SOCKET, () => connection.write(`${JSON.stringify(request)}\n`));
    connection.setTimeout(SERVER_MS, () => connection.destroy(new Error('The dev server did not answer in time.')));
    connection.setEncoding('utf8').on('data', data => (said += data));
    connection.on('error', error => (['ENOENT', 'ECONNREFUSED'].includes(error.code) ? done({ ok: true, copied: [] }) : failed(error)));
    connection.on('close', () => {
      try { done(JSON.parse(said)); }
      catch { done({ ok: true, copied: [] }); } // it ended meanwhile
    });
  });
}

/** Copy a DuckDB that nobody writes, its log included, and let DuckDB recover the copy; false where somebody wrote it meanwhile. */
async function copyAtRest({ name, path }) {
  const target = join(made, name);
  const before = stamp(path);
  copyFileSync(path, target);
  if (existsSync(`${path}.wal`)) copyFileSync(`${path}.wal`, `${target}.wal`);
  if (stamp(path) !== before) {
    rmSync(`${target}.wal`, { force: true });
    return false;
  }
  const { DuckDBInstance } = through(project, '@mastra/duckdb', '@duckdb/node-api');
  const instance = await DuckDBInstance.create(target);
  const connection = await instance.connect();
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
  return true;
}

function stamp(path) {
  return [path, `${path}.wal`].map(one => {
    const told = statSync(one, { throwIfNoEntry: false });
    return told ? `${told.size} ${told.mtimeMs} ${told.ino}` : '-';
  }).join(' ');
}

function replace() {
  const old = join(home, `checkpoint.old-${process.pid}`);
  for (let turn = 0; ; turn++) {
    try {
      if (existsSync(final)) renameSync(final, old);
      renameSync(made, final);
      break;
    } catch (error) {
      rmSync(old, { recursive: true, force: true });
      if (turn === TRIES) throw error; // another checkpoint came first, each time
    }
  }
  rmSync(old, { recursive: true, force: true });
}

// What killed processes left; a copy that was moved aside when they died is put back.
function sweep() {
  for (const name of readdirSync(home)) {
    const [, kind, pid] = /^checkpoint\.(new|old)-(\d+)$/.exec(name) ?? [];
    if (!kind || isAlive(Number(pid))) continue;
    if (kind === 'old' && !existsSync(final)) renameSync(join(home, name), final);
    else rmSync(join(home, name), { recursive: true, force: true });
  }
}

let result;
try {
  result = await checkpoint();
} catch (error) {
  result = { ok: false, error: error.message };
} finally {
  rmSync(made, { recursive: true, force: true });
}
process.exitCode = result.ok ? 0 : 1;
process.stdout.write(`${JSON.stringify(result)}\n`);
