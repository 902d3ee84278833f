// The conformance suite on the façade in Node: cases on stdin, results on stdout, one
// line each. edge/worker/test/conformance.mjs describes both.
//   node web/test/conformance.node.mjs < cases > results

import { createInterface } from 'node:readline';

import { Engine } from './engine.mjs';

// Any but the original, so that state which a snapshot forgets is noticed.
const RELOAD_SEED = 0xc0ffee;

// In the order of their codes, which begin at 1.
const REASONS = ['kill_switch', 'guard', 'brownout', 'pin', 'rule', 'split', 'canary', 'no_key', 'stable', 'gone', 'pinned_back', 'ready', 'blocked'];

const CANNOT = 0xffff_ffff;
const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function play({ init = '', seed = 0, steps = [] }) {
  let nowMs = steps[0]?.now_ms ?? 0;
  const answers = [];
  let engine = start(init, seed, nowMs, answers);
  for (const step of steps) {
    nowMs = step.now_ms ?? nowMs;
    if (step.reload) {
      const fresh = new Engine(RELOAD_SEED, nowMs);
      fresh.restore(engine.snapshot());
      engine.free();
      engine = fresh;
      answers.push('');
    } else {
      answers.push(answer(engine, step, nowMs));
    }
  }
  const snapshot = Buffer.from(engine.snapshot()).toString('hex');
  engine.free();
  return { answers, snapshot };
}

// The façade throws what the engine says to a document that it refuses; the engine goes
// on without it.
function start(init, seed, nowMs, answers) {
  try {
    const engine = new Engine(seed, nowMs, init);
    answers.push('');
    return engine;
  } catch (error) {
    if (error.line === undefined) throw error;
    answers.push(error.line);
    return new Engine(seed, nowMs);
  }
}

function answer(engine, { handle, handle_hex, repeat = 1, route, tick, totals, merge }, nowMs) {
  if (route) return String(word(engine, engine.route(route.key, route.draw ?? 0)));
  if (tick) return engine.tick(nowMs);
  if (totals) return engine.totals();
  if (merge !== undefined) return engine.merge(merge);
  const once = handle_hex === undefined ? encoder.encode(handle) : Buffer.from(handle_hex, 'hex');
  const bytes = Buffer.concat(Array(repeat).fill(once));
  return shown(engine.handleBytes(bytes, nowMs));
}

// The façade names what the ABI numbers.
function word(engine, routed) {
  if (routed === undefined) return CANNOT;
  const { versions } = engine.state().policy.document;
  const names = Array.isArray(versions) ? versions : [versions.from, versions.to];
  const reason = REASONS.indexOf(routed.reason) + 1;
  return names.indexOf(routed.version) + (routed.canary ? 1 << 16 : 0) + reason * 2 ** 17;
}

function shown(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return { hex: Buffer.from(bytes).toString('hex') };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (line === '') continue;
  if (!process.stdout.write(`${JSON.stringify(play(JSON.parse(line)))}\n`)) {
    await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}
