// Tells when the project's code may have changed. It says "look", never what changed: the caller compares.
import { watch } from 'node:fs';
import { join } from 'node:path';
import { isPassedOver, listing } from './listing.mjs';

const DEBOUNCE_MS = 150;
const INSTALL_DEBOUNCE_MS = 1_500;
const POLL_MS = 2_000;
const MAX_FOLDERS = 512;
const ROOT_NAMES = new Set(['src', 'package.json', 'package-lock.json', 'pnpm-lock.yaml', 'tsconfig.json', '.env', 'node_modules']);

export class Watch {
  #root;
  #look;
  #watches = [];
  #timer;
  #poll;

  /** Call `look(polled)` a moment after anything changes under src/, in package.json, lock files, .env or node_modules. */
  constructor(root, look) {
    this.#root = root;
    this.#look = look;
    this.renew();
  }

  /**
   * Open every watch anew, one per folder: a recursive one misses files that are replaced by renaming, and the watch of a
   * folder that was replaced looks at nothing. Whoever reads the code afterwards sees what happened in between.
   */
  renew() {
    this.close();
    const { folders, whole } = listing(this.#root);
    try {
      if (!whole || folders.length > MAX_FOLDERS) throw new Error(`src holds more than ${MAX_FOLDERS} folders`);
      this.#add('.', name => ROOT_NAMES.has(name), DEBOUNCE_MS);
      this.#add('node_modules', () => true, INSTALL_DEBOUNCE_MS);
      for (const folder of folders) this.#add(folder, name => !isPassedOver(name), DEBOUNCE_MS);
    } catch (error) {
      this.close();
      console.error(`[runner] looking for changes every ${POLL_MS / 1000} s instead of watching: ${error.message}`);
      this.#poll = setInterval(() => this.#look(true), POLL_MS);
    }
  }

  close() {
    for (const one of this.#watches.splice(0)) one.close();
    clearInterval(this.#poll);
  }

  #add(folder, counts, debounce) {
    let one;
    try {
      one = watch(join(this.#root, folder), (_, name) => {
        if (name === null || counts(name)) this.#soon(debounce);
      });
    } catch (error) {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return; // gone; its parent's watch sees it come back
      throw error;
    }
    one.on('error', () => this.#soon(DEBOUNCE_MS));
    this.#watches.push(one);
  }

  #soon(debounce) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(false), debounce);
  }
}
