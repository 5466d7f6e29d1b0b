// What is under src/, with bounds: hidden files, what editors leave behind, packages and links are passed over.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const MAX_ENTRIES = 5_000;
const HASHED_BYTES = 1 << 20;
const PASSED_OVER = /^\.|~$|^#.*#$|^4913$|\.(?:sw[a-p]x?|tmp|temp|bak|orig|part|crdownload)$|^sed[A-Za-z0-9]{6}$|^node_modules$/;

/** Tell whether a name is one that the project's code is not made of. */
export const isPassedOver = name => PASSED_OVER.test(name);

/** List `top`'s files and folders under `root`, relative to it, in order; `whole` is false where it held too many. */
export function listing(root, top = 'src') {
  const files = [], folders = [];
  const open = [top];
  while (open.length && files.length + folders.length < MAX_ENTRIES) {
    const folder = open.pop();
    let entries;
    try { entries = readdirSync(join(root, folder), { withFileTypes: true }); }
    catch { continue; } // it went while we looked
    folders.push(folder);
    for (const entry of entries) {
      if (isPassedOver(entry.name)) continue;
      if (entry.isDirectory()) open.push(join(folder, entry.name));
      else if (entry.isFile()) files.push(join(folder, entry.name));
    }
  }
  return { files: files.sort(), folders: folders.sort(), whole: !open.length };
}

/** Hash what is in src/ and what decides which packages there are. */
export function fingerprint(root) {
  const digest = createHash('sha256');
  const more = ['package.json', 'package-lock.json', 'pnpm-lock.yaml', 'tsconfig.json', '.env'];
  const installed = ['node_modules/.package-lock.json', 'node_modules/.modules.yaml'];
  for (const file of [...listing(root).files, ...more, ...installed]) {
    try {
      const { size, mtimeMs } = statSync(join(root, file));
      const content = size <= HASHED_BYTES && !file.startsWith('node_modules') ? readFileSync(join(root, file)) : mtimeMs;
      digest.update(`${file}\0${size}\0`).update(`${content}`);
    } catch { digest.update(`${file}\0-`); }
  }
  return digest.digest('hex');
}
