// Plays one case of the conformance suite on the portable module, without names and
// without recovery: the answers are the bytes that the module gave.
//
// A case is one line of JSON:
//   {"init": "…", "seed": 7, "steps": [STEP, …]}
// `init` is the init document's text (absent: empty), `seed` an integer up to 2^53 - 1
// (absent: 0). The time begins at the first step's `now_ms`, else at 0. A step has a
// `now_ms` from which the time is that, where it changes, and one of
//   "handle": "lines"     "handle_hex": "bytes"     both with "repeat": N
//   "route": {"key": "…", "draw": N}                or "key_hex" for bytes
//   "tick": true          "totals": true            "merge": "a totals line"
//   "reload": true        a fresh instance takes over by snapshot and restore
//
// The result is one line of JSON:
//   {"answers": ["said at the start", ONE FOR EACH STEP…], "snapshot": "HEX"}
// An answer is the output as a string, or {"hex": "…"} where it is not UTF-8. Of `route`
// it is the route word in decimal, of `reload` what restore said. Where the module
// traps, the case ends: {"answers": [… so far], "trap": "message"}.

import { CrossfadeInstance, CrossfadeTrap } from '../crossfade.js';

// Any but the original, so that state which a snapshot forgets is noticed.
const RELOAD_SEED = 0xc0ffee;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** The result line for a case line. */
export function playLine(module, line) {
  return JSON.stringify(play(module, JSON.parse(line)));
}

function play(module, { init = '', seed = 0, steps = [] }) {
  const answers = [];
  try {
    let nowMs = steps[0]?.now_ms ?? 0;
    let instance = new CrossfadeInstance(module);
    answers.push(shown(instance.init(init, nowMs, seed >>> 0, Math.floor(seed / 2 ** 32))));
    for (const step of steps) {
      nowMs = step.now_ms ?? nowMs;
      if (step.reload) {
        const snapshot = instance.snapshot();
        instance = new CrossfadeInstance(module);
        instance.init('', nowMs, RELOAD_SEED, 0);
        answers.push(shown(instance.restore(snapshot)));
      } else {
        answers.push(answer(instance, step, nowMs));
      }
    }
    return { answers, snapshot: toHex(instance.snapshot()) };
  } catch (error) {
    if (!(error instanceof CrossfadeTrap)) throw error;
    return { answers, trap: error.message };
  }
}

function answer(instance, step, nowMs) {
  const { route } = step;
  if (route) {
    const key = route.key_hex === undefined ? route.key : fromHex(route.key_hex);
    return String(instance.routeWord(key, route.draw ?? 0));
  }
  if (step.tick) return shown(instance.tick(nowMs));
  if (step.totals) return shown(instance.totals());
  if (step.merge !== undefined) return shown(instance.merge(step.merge));
  const bytes = step.handle_hex === undefined ? encoder.encode(step.handle) : fromHex(step.handle_hex);
  return shown(instance.handle(repeated(bytes, step.repeat ?? 1), nowMs));
}

function repeated(bytes, times) {
  const all = new Uint8Array(bytes.length * times);
  for (let time = 0; time < times; time++) all.set(bytes, time * bytes.length);
  return all;
}

function shown(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return { hex: toHex(bytes) };
  }
}

function toHex(bytes) {
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

function fromHex(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
