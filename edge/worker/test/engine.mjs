// The built module, for the tests: CROSSFADE_WASM, or what `cargo xtask edge` copies here.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Crossfade } from '../crossfade.js';

/** Where the module is. */
export const path = process.env.CROSSFADE_WASM ?? fileURLToPath(new URL('../crossfade.wasm', import.meta.url));

if (!existsSync(path)) {
  throw new Error(`${path} is missing: run \`cargo xtask edge\`, or name a built one in CROSSFADE_WASM`);
}

/** Its bytes. */
export const bytes = readFileSync(path);

/** The compiled module. */
export const module = new WebAssembly.Module(bytes);

/** The class with the methods of the façade, for the vectors' player. */
export class Engine {
  #crossfade;

  constructor(seed, nowMs, init = '') {
    this.#crossfade = new Crossfade(module, { init, seed, nowMs });
  }

  handle(lines, nowMs) {
    return this.#crossfade.handle(lines, nowMs);
  }

  handleBytes(lines, nowMs) {
    return this.#crossfade.handle(lines, nowMs);
  }

  route(key, draw) {
    const routed = this.#crossfade.route(key, { draw });
    return routed && { ...routed };
  }

  tick(nowMs) {
    return this.#crossfade.tick(nowMs);
  }

  snapshot() {
    return this.#crossfade.snapshot();
  }

  restore(bytes) {
    this.#crossfade.restore(bytes);
  }

  free() {}
}
