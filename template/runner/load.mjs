// Lets Node load the project's TypeScript as it is: types are stripped, extensions and index files are found.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Unusable } from './unusable.mjs';

export const project = process.env.SHMASTRA_PROJECT ?? process.cwd();
const entry = join(project, 'src/mastra/index.ts');
const isOurs = parent => parent?.startsWith('file:') && !parent.includes('/node_modules/');

registerHooks({
  resolve(specifier, context, next) {
    if (/^\.{1,2}\//.test(specifier) && isOurs(context.parentURL)) {
      const base = fileURLToPath(new URL(specifier, context.parentURL));
      const found = [base, `${base}.ts`, base.replace(/\.js$/, '.ts'), join(base, 'index.ts')].find(
        file => existsSync(file) && statSync(file).isFile(),
      );
      if (found) return next(pathToFileURL(found).href, context);
    }
    return next(specifier, context);
  },
});

/** Import the project's code and return its Mastra; raises whatever the code throws, or Unusable. */
export async function load() {
  if (!existsSync(entry)) throw new Unusable('src/mastra/index.ts is missing; it must export `mastra`.', 'src/mastra/index.ts');
  const { mastra } = await import(pathToFileURL(entry).href);
  if (typeof mastra?.getServer !== 'function') {
    throw new Unusable('src/mastra/index.ts exports no `mastra`: export const mastra = new Mastra({...}).', 'src/mastra/index.ts');
  }
  return mastra;
}

/** Replace `from` by `to` where the project's own code names it, so that a check stays in its copy. */
export function redirect(from, to) {
  registerHooks({
    load(url, context, next) {
      if (!url.startsWith(pathToFileURL(to).href) || !/\.[cm]?[jt]s$/.test(url)) return next(url, context);
      const file = fileURLToPath(url);
      if (!readFileSync(file, 'utf8').includes(from)) return next(url, context);
      const loaded = next(url, context);
      return loaded.source ? { ...loaded, source: String(loaded.source).replaceAll(from, to) } : loaded;
    },
  });
}
