// What the runner is doing, for the healer, the cloud and whoever looks: .shmastra/runner.json.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

export class Told {
  #file;
  #is = { state: 'starting', pid: null, since: null, lastRejected: null };

  constructor(file) {
    this.#file = file;
  }

  get state() {
    return this.#is.state;
  }

  /**
   * Write the change; `since` is when the state became what it is. The file is whole at any time. Where it cannot be written, as on a
   * full disk, there is none: the server goes on, and nobody believes what is no longer so.
   */
  tell(change) {
    const since = change.state && change.state !== this.#is.state ? new Date().toISOString() : this.#is.since;
    this.#is = { ...this.#is, since: since ?? new Date().toISOString(), ...change };
    try {
      writeFileSync(`${this.#file}.new`, `${JSON.stringify(this.#is)}\n`);
      renameSync(`${this.#file}.new`, this.#file);
    } catch (error) {
      console.error(`[runner] cannot say that it is ${this.#is.state}: ${error.message}`);
      rmSync(this.#file, { force: true });
    }
  }

  /** Write down errors of code that is not used, and log them. */
  reject(errors, change = {}) {
    for (const { file, line, column, message } of errors) {
      console.error(`[runner] not used: ${[file, line, column].filter(Boolean).join(':') || 'src'}  ${message}`);
    }
    this.tell({ ...change, lastRejected: { at: new Date().toISOString(), errors } });
  }

  /** Forget a rejected change that was taken back. */
  accept() {
    if (this.#is.lastRejected) this.tell({ lastRejected: null });
  }
}

/** Read the server's pid out of a file that an earlier runner left. */
export function lastPid(file) {
  try { return JSON.parse(readFileSync(file, 'utf8')).pid ?? null; }
  catch { return null; }
}
