// In the dev server: copies the DuckDB databases that this process has open, for checkpoint.mjs. No other process could.
// One line of JSON each way over a unix socket: {target, files:[{name,path}]} is answered by {ok, copied:[name]} or {ok, error}.
import { chmodSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve, sep } from 'node:path';
import { SOCKET, copyDuckDB, through } from './databases.mjs';

const LINE_CHARS = 64_000;
const IDLE_MS = 10_000;

/** Answer on the project's socket from now on; call it before the project's code is loaded. */
export async function offerCheckpoints(project) {
  const open = record(project);
  const socket = join(project, SOCKET);
  let last = Promise.resolve();
  const server = createServer(connection => serve(connection, line => (last = last.then(() => answer(project, open, line)))));
  rmSync(socket, { force: true });
  const mask = process.umask(0o177);
  await new Promise((done, failed) => server.once('error', failed).listen(SOCKET, done)).finally(() => process.umask(mask));
  chmodSync(socket, 0o600);
  server.unref();
}

// Remembers which instance has which file open.
function record(project) {
  const open = new Map();
  let api;
  try { api = through(project, '@mastra/duckdb', '@duckdb/node-api'); }
  catch { return open; } // a project without DuckDB
  const create = api.DuckDBInstance.create;
  api.DuckDBInstance.create = async function (path, options) {
    const instance = await create.call(this, path, options);
    if (path && !path.startsWith(':memory:')) open.set(realpathSync(path), new WeakRef(instance));
    return instance;
  };
  return open;
}

function serve(connection, answerLine) {
  let said = '';
  connection.setTimeout(IDLE_MS, () => connection.destroy());
  connection.on('error', () => connection.destroy());
  connection.setEncoding('utf8').on('data', async data => {
    said += data;
    if (said.length > LINE_CHARS) return connection.destroy();
    if (!said.includes('\n')) return;
    connection.setTimeout(0);
    connection.pause();
    connection.end(`${JSON.stringify(await answerLine(said.split('\n')[0]))}\n`);
  });
}

async function answer(project, open, line) {
  try {
    const { target, files } = JSON.parse(line);
    if (!`${resolve(target)}${sep}`.startsWith(join(project, '.shmastra') + sep)) throw new Error('the target is elsewhere');
    const copied = [];
    for (const { name, path } of files) {
      const instance = open.get(realpathSync(path))?.deref();
      if (instance && (await copyOne(instance, join(target, name)))) copied.push(name);
    }
    return { ok: true, copied };
  } catch (error) {
    return { ok: false, error: error.message };
  }
}

async function copyOne(instance, target) {
  let connection;
  try { connection = await instance.connect(); }
  catch { return false; } // closed meanwhile: its file is whole
  try {
    await copyDuckDB(connection, target);
  } finally {
    connection.closeSync();
  }
  return true;
}
