// Turns what was thrown while the project's code loaded into {file, line, column, message}, as the user sees his files.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listing } from './listing.mjs';

const PARSE_MS = 5_000;
const MESSAGE_CHARS = 2_000;
const HINTS = {
  ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX:
    'Types are stripped, not compiled: use `as const` objects for enums, fields for parameter properties.',
};

const path = place => (place.startsWith('file:') ? fileURLToPath(place) : place);

/** A problem without an error object, in the same shape. */
export const problem = (message, file = null, line = null, column = null) => ({ file, line, column, message });

/** Describe an error that was thrown while the code under `root` loaded. */
export function describe(error, root) {
  const place = decorated(error, root) ?? missing(error) ?? named(error) ?? thrown(error, root) ?? parsed(error, root);
  const said = `${typeof error?.message === 'string' ? error.message : `${error} was thrown`}`;
  const hint = HINTS[error?.code] ? `. ${HINTS[error.code]}` : '';
  const inside = place && isAbsolute(place.file) ? relative(root, place.file) : place?.file;
  return problem(
    `${said.replaceAll(`${root}/`, '')}${hint}`.slice(0, MESSAGE_CHARS), inside ?? null, place?.line ?? null, place?.column ?? null,
  );
}

// Node puts the line and a row of carets before the stack of a syntax error or a missing export.
function decorated(error) {
  const found = /^(file:\/\/\S+|\/\S+?):(\d+)\n(?:.*\n)*?( *)\^/.exec(String(error?.stack ?? ''));
  return found && { file: path(found[1]), line: Number(found[2]), column: found[3].length + 1 };
}

function missing(error) {
  const found = /^Cannot find (?:package|module) '([^']+)' imported from (\S+)/.exec(String(error?.message));
  if (!found) return null;
  const [, wanted, file] = found;
  const word = wanted.split('/').pop();
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  for (const [index, text] of lines.entries()) {
    const quoted = [...text.matchAll(/(['"`])((?:(?!\1).)*)\1/g)].find(one => one[2].includes(word));
    if (quoted) return { file, line: index + 1, column: quoted.index + 1 };
  }
  return { file, line: null, column: null };
}

// A JSON file that does not parse is named in the message only.
function named(error) {
  const found = error instanceof SyntaxError && /^(\/\S+\.json): /.exec(error.message);
  return found ? { file: found[1], line: null, column: null } : null;
}

function thrown(error, root) {
  for (const line of String(error?.stack ?? '').split('\n')) {
    const found = /((?:file:\/\/)?\/[^\s()]+):(\d+):(\d+)\)?$/.exec(line);
    if (!found || !line.trimStart().startsWith('at ')) continue;
    const file = path(found[1]);
    if (file.startsWith(`${root}/src/`)) return { file, line: Number(found[2]), column: Number(found[3]) };
  }
  return null;
}

// For a syntax error in JavaScript Node tells the place only when it parses the file itself.
function parsed(error, root) {
  if (!(error instanceof SyntaxError)) return null;
  for (const file of scripts(root)) {
    const told = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: PARSE_MS }).stderr;
    const place = decorated({ stack: told });
    if (place) return place;
  }
  return null;
}

function scripts(root) {
  const { files } = listing(root);
  return files.filter(file => /\.[cm]?js$/.test(file)).slice(0, 50).map(file => join(root, file));
}
