// The one error of the runner's own.
import { problem } from './errors.mjs';

/** What makes code unusable although it threw nothing. */
export class Unusable extends Error {
  constructor(message, file) {
    super(message);
    this.problem = problem(message, file);
  }
}
