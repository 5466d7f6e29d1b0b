// Lets Node load the project's TypeScript as it is: types are stripped, extensions and index files are found.
import { existsSync, statSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

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

export const project = process.env.SHMASTRA_PROJECT ?? process.cwd();
export const entry = pathToFileURL(join(project, 'src/mastra/index.ts')).href;
