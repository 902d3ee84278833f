// The built façade, initialised from its bytes: what a page fetches, Node reads.

import { existsSync, readFileSync } from 'node:fs';

const folder = new URL('../pkg/', import.meta.url);

if (!existsSync(folder)) {
  throw new Error('web/pkg is missing: run `cargo xtask web`, or the tests by `cargo xtask test-web`');
}

/** The wasm file's bytes. */
export const bytes = readFileSync(new URL('crossfade_web_bg.wasm', folder));

const glue = await import(new URL('crossfade_web.js', folder));
glue.initSync({ module: bytes });

export const { Engine, lastPanic } = glue;
