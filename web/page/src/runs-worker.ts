// Plays a script from many seeds, one after the other, as fast as can be.

import init, { playOut } from "./wasm/crossfade_web.js";
import type { Outcome, Script } from "./types.ts";

export interface Batch {
  script: Script;
  seeds: number[];
  mostMs: number;
}

export type Played = { seed: number; outcome: Outcome } | { failed: string } | { done: true };

const loaded = init();

onmessage = async (event: MessageEvent<Batch>) => {
  try {
    await loaded;
    const { script, seeds, mostMs } = event.data;
    for (const seed of seeds) {
      const outcome = playOut(JSON.stringify({ ...script, seed }), mostMs);
      postMessage({ seed, outcome } satisfies Played);
    }
    postMessage({ done: true } satisfies Played);
  } catch (error) {
    postMessage({ failed: error instanceof Error ? error.message : String(error) } satisfies Played);
  }
};
