// The environment of the project's code: that of this process, then .env as it stands in the folder now.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';

function dotenv(root) {
  try { return parseEnv(readFileSync(join(root, '.env'), 'utf8')); }
  catch { return {}; }
}

/** Return a function that gives the environment; what this process has from an older .env gives way to the present one. */
export function environ(root) {
  const first = dotenv(root);
  const own = Object.fromEntries(Object.entries(process.env).filter(([name, value]) => first[name] !== value));
  return () => ({ ...dotenv(root), ...own });
}
