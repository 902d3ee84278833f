// The façade itself: what JavaScript passes in and gets back. What the engine answers
// is the business of the vectors.

import assert from 'node:assert/strict';
import test from 'node:test';
import { brotliCompressSync } from 'node:zlib';

import { Engine, bytes, lastPanic } from './engine.mjs';

const policy = {
  api: 'users',
  versions: { from: 'v1', to: 'v2' },
  key: { header: 'x-user-id' },
  pins: { 'qa-1': 'v2' },
  canary_percentage: 45,
};
const withPolicy = (changes = {}) =>
  new Engine(7, 0, JSON.stringify({ policy: { ...policy, ...changes } }));

const getUsers = (user_id, msg_id = 1) =>
  JSON.stringify({ type: 'get_users', msg_id, user_id, canary_percentage: 50 });

test('lines go in and answers come out, one for one and in order', () => {
  const engine = new Engine(7, 0);
  const lines = [getUsers('user123', 1), 'no json', '', getUsers('user0', 2)];
  const answers = engine.handle(lines.join('\n'), 0);
  assert.ok(answers.endsWith('\n'));
  const bodies = answers.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(bodies.map(({ type }) => type), ['users_response', 'error', 'users_response']);
  assert.deepEqual([bodies[0].in_reply_to, bodies[2].in_reply_to], [1, 2]);
  assert.equal(bodies[1].code, 12);
});

test('nothing in, nothing out', () => {
  const engine = new Engine(7, 0);
  assert.equal(engine.handle('', 0), '');
  assert.equal(engine.handle(' \r\n\t\n', 0), '');
  assert.equal(engine.tick(1000), '');
});

test('text beyond ASCII arrives whole', () => {
  const engine = new Engine(7, 0);
  engine.handle(getUsers('日本-😀'), 0);
  const clients = JSON.parse(engine.handle('{"type":"get_clients","msg_id":2}', 0));
  assert.ok(JSON.stringify(clients).includes('日本-😀'), JSON.stringify(clients));
});

test('bytes that are no text are answered, not thrown', () => {
  const engine = new Engine(7, 0);
  const good = new TextEncoder().encode(`${getUsers('user123')}\n`);
  const out = engine.handleBytes(Uint8Array.of(...good, 0xff, 0xfe, 0x0a, ...good), 0);
  const types = new TextDecoder().decode(out).trimEnd().split('\n').map((line) => JSON.parse(line).type);
  assert.deepEqual(types, ['users_response', 'error', 'users_response']);
});

test('a key is routed without JSON, with the name of its version', () => {
  const engine = withPolicy();
  // user123 is in bucket 4497.
  assert.deepEqual(engine.route('user123', 0), { version: 'v2', canary: true, reason: 'canary' });
  assert.deepEqual(engine.route('qa-1', 0), { version: 'v2', canary: false, reason: 'pin' });
  assert.equal(engine.route('', 0).reason, 'no_key');
});

test('a new policy gives new names', () => {
  const engine = withPolicy();
  assert.equal(engine.route('user123', 0).version, 'v2');
  const document = { ...policy, versions: ['v0', 'v1', 'v2', 'v3'] };
  const reply = engine.handle(JSON.stringify({ type: 'configure', msg_id: 1, document }), 0);
  assert.equal(JSON.parse(reply).type, 'configure_ok', reply);
  assert.equal(engine.route('user123', 0).version, 'v3');
  assert.equal(engine.route('qa-1', 0).version, 'v2');
});

test('a policy that looks at attributes is not for the fast path', () => {
  const when = { attribute: 'plan', in: ['beta'] };
  const engine = withPolicy({ rules: [{ name: 'beta', when, to: 'v2' }] });
  assert.equal(engine.route('user123', 0), undefined);
});

test('a split by request follows the draw', () => {
  const { canary_percentage, ...rest } = policy;
  const split = { ...rest, split: { v1: 50, v2: 50 }, sticky: false };
  const engine = new Engine(7, 0, JSON.stringify({ policy: split }));
  // The newest version comes first, as in a canary.
  assert.deepEqual(engine.route('a', 0), { version: 'v2', canary: false, reason: 'split' });
  assert.equal(engine.route('a', 2 ** 32 - 1).version, 'v1');
});

test('the state is plain objects with the answers to three messages', () => {
  const engine = withPolicy();
  for (let i = 0; i < 200; i++) engine.handle(getUsers(`user${i}`), 5);
  const { policy: shown, rollout, stats } = engine.state();
  assert.equal(Object.getPrototypeOf(stats), Object.prototype);
  assert.deepEqual(Object.keys(stats.version_percentages), ['v1', 'v2']);
  assert.equal(stats.total_clients, 200);
  assert.equal(typeof stats.migration_complete, 'boolean');
  assert.equal(typeof rollout.phase, 'string');
  const ask = (type) => JSON.parse(engine.handle(JSON.stringify({ type, msg_id: 0 }), 5));
  for (const [part, type] of [[shown, 'get_config'], [rollout, 'get_rollout'], [stats, 'get_migration_stats']]) {
    const { type: _, in_reply_to, ...body } = ask(type);
    assert.deepEqual(part, body);
  }
});

test('the state can be read after init put replies in envelopes', () => {
  const engine = withPolicy();
  engine.handle('{"src":"c","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}', 0);
  assert.equal(engine.state().stats.total_clients, 0);
  assert.equal(engine.route('user123', 0).version, 'v2');
});

test('looking changes nothing', () => {
  const engine = withPolicy();
  engine.handle(getUsers('user1'), 5);
  const before = engine.snapshot();
  engine.state();
  assert.deepEqual(engine.snapshot(), before);
});

test('a snapshot carries everything into another engine', () => {
  const engine = withPolicy();
  for (let i = 0; i < 50; i++) engine.handle(getUsers(`user${i}`), 5);
  const snapshot = engine.snapshot();
  assert.ok(snapshot instanceof Uint8Array && snapshot.length > 0);
  const other = new Engine(99, 0);
  assert.notDeepEqual(other.state(), engine.state());
  other.restore(snapshot);
  other.tick(5);
  assert.deepEqual(other.state(), engine.state());
  assert.deepEqual(other.snapshot(), snapshot);
});

test('restoring a policy restores its names', () => {
  const green = withPolicy({ versions: ['blue', 'green'], pins: {} }).snapshot();
  const engine = withPolicy();
  engine.route('user123', 0);
  engine.restore(green);
  assert.equal(engine.route('user123', 0).version, 'green');
});

test('what is no snapshot is refused and changes nothing', () => {
  const engine = withPolicy();
  engine.handle(getUsers('user1'), 5);
  const before = engine.snapshot();
  const truncated = before.slice(0, before.length - 1);
  for (const bad of [new Uint8Array(), Uint8Array.of(1, 2, 3), truncated]) {
    assert.throws(() => engine.restore(bad), (error) => {
      assert.ok(error instanceof Error && error.message.length > 10, error);
      assert.equal(JSON.parse(error.line).type, 'error');
      return true;
    });
    assert.deepEqual(engine.snapshot(), before);
  }
});

test('a refused document says what is wrong with it', () => {
  const document = { policy: { ...policy, canary_percentage: 101 } };
  assert.throws(() => new Engine(7, 0, JSON.stringify(document)), (error) => {
    assert.match(error.message, /canary_percentage/);
    assert.equal(JSON.parse(error.line).code, 12);
    return true;
  });
  assert.throws(() => new Engine(7, 0, '{'), Error);
});

test('a seed must be an integer that a number holds', () => {
  for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53, undefined]) {
    assert.throws(() => new Engine(bad, 0), /seed.*MAX_SAFE_INTEGER/, String(bad));
  }
  for (const good of [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) new Engine(good, 0).free();
});

test('one seed gives one course of events, another another', () => {
  const course = (seed) => {
    const engine = new Engine(seed, 0);
    const line = '{"type":"get_users","msg_id":1,"traffic_split":{"v1":50,"v2":50}}\n';
    return engine.handle(line.repeat(200), 0);
  };
  assert.equal(course(7), course(7));
  assert.notEqual(course(7), course(8));
  // The high half of the seed counts too.
  assert.notEqual(course(7), course(7 + 2 ** 32));
});

test('a clock that makes no sense stops nothing', () => {
  const engine = new Engine(7, NaN);
  for (const now of [-1, NaN, Infinity, 1e300, 0]) {
    assert.equal(JSON.parse(engine.handle(getUsers('user1'), now)).type, 'users_response');
    engine.tick(now);
  }
  assert.equal(lastPanic(), undefined);
});

test('a freed engine is not used by mistake', () => {
  const engine = new Engine(7, 0);
  engine.free();
  assert.throws(() => engine.handle('', 0), Error);
});

test('the module is small enough to wait for', () => {
  // The whole façade. The page carries less of it, and has a limit of its own.
  const sent = brotliCompressSync(bytes).length;
  assert.ok(sent < 300_000, `${sent} bytes`);
});
