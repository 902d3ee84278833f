// Plays tests/vectors/*.json on a build that JavaScript reaches: `Engine` is the façade's
// class, or another with its methods. tests/vectors/README.md describes the files;
// tests/src/{vectors,runner}.rs do the same for the builds that Rust reaches.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../../tests/vectors/', import.meta.url);

// Any but the original, so that state which a snapshot forgets is noticed.
const RELOAD_SEED = 0xc0ffee;

/** Every vector file: `{file, about, cases, buckets}`. */
export function vectorFiles() {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json')).sort();
  return files.map((file) => {
    const root = written(readFileSync(new URL(file, folder), 'utf8'));
    const { cases, buckets } = root.fields;
    return {
      file,
      cases: (cases?.items ?? []).map(({ fields }) => ({ name: plain(fields.name), fields })),
      buckets: plain(buckets) ?? [],
    };
  });
}

/** Plays one case; throws at the first difference. */
export function play(Engine, { seed, init, says, exchange }) {
  const steps = exchange?.items ?? [];
  const startMs = plain(steps[0]?.fields.now_ms) ?? 0;
  let engine;
  try {
    engine = new Engine(plain(seed) ?? 0, startMs, init?.text);
  } catch (error) {
    assert.equal(error.line, lines(says), 'start');
    assert.equal(steps.length, 0, 'a refused `init` ends a case');
    return;
  }
  assert.equal('', lines(says), 'start');
  let nowMs = startMs;
  steps.forEach(({ fields }, index) => {
    nowMs = plain(fields.now_ms) ?? nowMs;
    if (fields.reload) {
      const fresh = new Engine(RELOAD_SEED, nowMs);
      fresh.restore(engine.snapshot());
      engine.free();
      engine = fresh;
    } else {
      assert.notEqual(fields.expect, undefined, `step ${index + 1} expects nothing`);
      const [got, expected] = step(engine, fields, nowMs);
      assert.deepEqual(got, expected, `step ${index + 1}`);
    }
  });
  engine.free();
}

function step(engine, fields, nowMs) {
  if (fields.route) {
    const { index, ...expected } = plain(fields.expect) ?? {};
    const got = engine.route(plain(fields.route), plain(fields.draw) ?? 0);
    return [got, index === undefined ? undefined : expected];
  }
  const expected = lines(fields.expect);
  if (fields.tick) {
    return [engine.tick(nowMs), expected];
  }
  if (fields.send_hex) {
    const once = Buffer.from(plain(fields.send_hex), 'hex');
    const sent = Buffer.concat(Array(plain(fields.repeat) ?? 1).fill(once));
    return [Buffer.from(engine.handleBytes(sent, nowMs)).toString(), expected];
  }
  const sent = message(fields.send).repeat(plain(fields.repeat) ?? 1);
  return [engine.handle(sent, nowMs), expected];
}

/** Compares a golden bucket by the two shares between which the version changes. */
export function playGolden(Engine, { key, salt, bucket }) {
  const policy = { api: 'users', versions: ['v1', 'v2'], key: { attribute: 'user_id' }, salt };
  const engine = new Engine(0, 0, JSON.stringify({ policy }));
  for (const share of [bucket, bucket + 1]) {
    const line = { type: 'get_users', msg_id: 1, user_id: key, canary_percentage: share / 100 };
    // An empty key is no key to a message, so it stays on v1.
    const canary = share > bucket && key !== '';
    const version = canary ? 'v2' : 'v1';
    const reply = { type: 'users_response', in_reply_to: 1, version, canary };
    assert.equal(
      engine.handle(JSON.stringify(line), 0),
      `${JSON.stringify(reply)}\n`,
      `${JSON.stringify(key)} salted ${JSON.stringify(salt)} at ${share / 100} %`,
    );
  }
  engine.free();
}

// What a `send` stands for: a string's own text, anything else compact; the elements
// of an array are lines.
function message(node) {
  if (node.items) return node.items.map(message).join('\n');
  return node.text.startsWith('"') ? plain(node) : node.text;
}

// The output that an `expect` stands for.
function lines(node) {
  if (node === undefined || node.text === 'null') return '';
  return (node.items ?? [node]).map(({ text }) => `${text}\n`).join('');
}

/** The value of a node, or undefined where there is none. */
export function plain(node) {
  return node && JSON.parse(node.text);
}

/**
 * Reads JSON and keeps of each value its text without white space, because
 * `JSON.stringify(JSON.parse(text))` would change 1.0, large integers and the order of
 * keys like "10". A node is `{text, items?, fields?}`.
 */
export function written(source) {
  JSON.parse(source); // The reader below takes well-formed JSON for granted.
  const tokens = source.match(/[{}[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}[\],:"]+/g);
  let at = 0;
  const value = () => {
    const token = tokens[at++];
    if (token === '[') {
      const items = listed(']', value);
      return { text: `[${items.map(({ text }) => text).join()}]`, items };
    }
    if (token === '{') {
      const entries = listed('}', () => {
        const key = tokens[at];
        at += 2;
        return { key, node: value() };
      });
      const text = entries.map(({ key, node }) => `${key}:${node.text}`).join();
      const fields = Object.fromEntries(entries.map(({ key, node }) => [JSON.parse(key), node]));
      return { text: `{${text}}`, fields };
    }
    return { text: token };
  };
  const listed = (end, element) => {
    const elements = [];
    while (tokens[at] !== end) {
      elements.push(element());
      if (tokens[at] === ',') at++;
    }
    at++;
    return elements;
  };
  return value();
}
