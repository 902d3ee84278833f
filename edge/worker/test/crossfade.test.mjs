// The class: what goes in and comes out in JavaScript, and what happens when it breaks.

import assert from 'node:assert/strict';
import test from 'node:test';

import {
  Crossfade, CrossfadeInstance, CrossfadeModuleError, CrossfadeRefusal, CrossfadeTrap, KEY_BYTES_MAX,
} from '../crossfade.js';
import { bytes, module } from './engine.mjs';
import { assemble, constant, unreachable } from './modules.mjs';

const policy = {
  api: 'users',
  versions: { from: 'v1', to: 'v2' },
  key: { header: 'x-user-id' },
  pins: { 'qa-1': 'v2' },
  canary_percentage: 45,
};
const started = (options) => new Crossfade(module, { policy, seed: 7, nowMs: 0, ...options });

test('a module is taken compiled, as bytes, or out of a response', async () => {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  for (const source of [module, bytes, buffer, new Response(bytes), Promise.resolve(new Response(bytes))]) {
    const crossfade = await Crossfade.load(source, { policy });
    assert.equal(crossfade.route('user123').version, 'v2');
  }
});

test('what is not the module is refused in plain words', async () => {
  const refused = async (source, pattern) => {
    await assert.rejects(Crossfade.load(source), (error) => {
      assert.ok(error instanceof CrossfadeModuleError, error);
      assert.match(error.message, pattern);
      return true;
    });
  };
  await refused(Uint8Array.of(1, 2, 3), /not a WebAssembly module/);
  await refused(undefined, /not a WebAssembly module/);
  await refused(new Response('gone', { status: 404 }), /status 404/);
  await refused(assemble({ bodies: { crossfade_abi_version: constant(2) } }), /speaks ABI 2, this class speaks 1/);
  await refused(assemble({ without: ['crossfade_route', 'memory'] }), /does not export memory, crossfade_route/);
  await refused(assemble({ imports: [['env', 'clock']] }), /wants imports.*env\.clock/);
});

test('a policy that is wrong is refused with all its problems', async () => {
  await assert.rejects(Crossfade.load(module, { policy: { api: 'users', sticky: 1 } }), (error) => {
    assert.ok(error instanceof CrossfadeRefusal);
    assert.match(error.message, /versions.*key.*sticky/s);
    assert.equal(JSON.parse(error.line).code, 12);
    return true;
  });
});

test('a key is routed, with the name of its version', () => {
  const crossfade = started();
  // user123 is in bucket 4497.
  assert.deepEqual(crossfade.route('user123'), { version: 'v2', canary: true, reason: 'canary' });
  assert.deepEqual(crossfade.route('qa-1'), { version: 'v2', canary: false, reason: 'pin' });
  assert.deepEqual(crossfade.route(''), { version: 'v1', canary: false, reason: 'no_key' });
  assert.deepEqual(crossfade.versions, ['v1', 'v2']);
});

test('a key is the same as text and as its bytes, whatever its length and alphabet', () => {
  const crossfade = started({ policy: { ...policy, canary_percentage: 50 } });
  const bucketOf = (key) => crossfade.decide({ key }).bucket;
  for (const unit of ['a', 'é', '日', '😀', '\ud800']) {
    for (const length of [1, 2, 63, 64, 65, 200]) {
      const key = unit.repeat(length);
      const routed = crossfade.route(key);
      assert.deepEqual(crossfade.route(new TextEncoder().encode(key)), routed, key);
      if (unit !== '\ud800') assert.equal(routed.version, bucketOf(key) < 5000 ? 'v2' : 'v1', key);
    }
  }
});

test('a key that is too long cannot be routed; the longest can', () => {
  const crossfade = started();
  assert.equal(KEY_BYTES_MAX, 1024);
  for (const longest of ['k'.repeat(1024), 'é'.repeat(512), new Uint8Array(1024)]) {
    assert.notEqual(crossfade.route(longest), undefined);
  }
  for (const beyond of ['k'.repeat(1025), 'é'.repeat(513), '日'.repeat(1024), 'k'.repeat(100_000), new Uint8Array(1025)]) {
    assert.equal(crossfade.route(beyond), undefined);
  }
  assert.throws(() => crossfade.decide({ key: 'k'.repeat(1025) }), CrossfadeRefusal);
});

test('a policy with rules is asked with attributes', () => {
  const rules = [{ name: 'beta', when: { attribute: 'plan', in: ['beta'] }, to: 'v2' }];
  const crossfade = started({ policy: { ...policy, canary_percentage: 0, rules } });
  assert.equal(crossfade.route('user123'), undefined);
  const { version, reason, rule } = crossfade.decide({ key: 'user123', attributes: { plan: 'beta' } });
  assert.deepEqual([version, reason, rule], ['v2', 'rule', 'beta']);
  assert.equal(crossfade.decide({ key: 'user123', attributes: { plan: 'free' } }).version, 'v1');
  assert.equal(crossfade.decide().reason, 'no_key');
});

test('a split by request follows the draw, and draws by itself', () => {
  const { canary_percentage, ...rest } = policy;
  const crossfade = started({ policy: { ...rest, split: { v1: 50, v2: 50 }, sticky: false } });
  assert.equal(crossfade.route('a', { draw: 0 }).version, 'v2');
  assert.equal(crossfade.route('a', { draw: 2 ** 32 - 1 }).version, 'v1');
  const to = { v1: 0, v2: 0 };
  for (let request = 0; request < 1000; request++) to[crossfade.route('a').version] += 1;
  assert.ok(to.v1 > 350 && to.v2 > 350, JSON.stringify(to));
});

test('a new policy gives new names, however it came', () => {
  const crossfade = started();
  assert.equal(crossfade.route('user123').version, 'v2');
  crossfade.configure({ ...policy, versions: ['v0', 'v1', 'v2', 'v3'] });
  assert.equal(crossfade.route('user123').version, 'v3');
  assert.deepEqual(crossfade.config.versions, ['v0', 'v1', 'v2', 'v3']);
  const line = (versions) => JSON.stringify({ type: 'configure', msg_id: 1, document: { ...policy, versions } });
  crossfade.handle(line(['v1', 'v2', 'v3', 'v4']));
  assert.equal(crossfade.route('user123').version, 'v4');
  crossfade.handle(new TextEncoder().encode(line(['v1', 'v2', 'v3', 'v4', 'v5'])));
  assert.equal(crossfade.route('user123').version, 'v5');
  assert.throws(() => crossfade.configure('{"api":1}'), CrossfadeRefusal);
  assert.equal(crossfade.route('user123').version, 'v5');
});

test('looking up names numbers no line', () => {
  const crossfade = started();
  crossfade.route('user123');
  crossfade.restore(crossfade.snapshot());
  crossfade.route('user123');
  assert.match(crossfade.handle('no json\n'), /"line 1: not JSON/);
});

test('lines go in and answers come out, as text or as bytes', () => {
  const crossfade = started();
  const line = '{"type":"get_users","msg_id":1,"user_id":"日本-😀"}\n';
  const expected = /^\{"type":"users_response","in_reply_to":1,"version":"v[12]","canary":(true|false)\}\n$/;
  assert.match(crossfade.handle(line), expected);
  assert.match(new TextDecoder().decode(crossfade.handle(new TextEncoder().encode(line))), expected);
  assert.equal(crossfade.handle(''), '');
  assert.equal(crossfade.tick(5), '');
});

test('memory that grows in a call is found again', () => {
  const crossfade = started();
  const before = crossfade.memoryBytes;
  // A name of 3 MB for the reply to carry, and clients until the table has grown.
  assert.match(crossfade.handle(`{"type":"${'x'.repeat(3_000_000)}","msg_id":1}`), /unknown type/);
  for (let client = 0; client < 50_000; client++) {
    const routed = crossfade.route(`client-${client}`);
    assert.ok(routed.version === 'v1' || routed.version === 'v2');
  }
  assert.ok(crossfade.memoryBytes > before);
  assert.equal(crossfade.route('user123').version, 'v2');
});

test('totals are this node\'s, and another node takes them once', () => {
  const edge = started({ node: 'edge-7', epoch: '00f1e2d3c4b5a697' });
  for (let request = 0; request < 10; request++) edge.route('user123');
  const line = edge.totals();
  assert.ok(line.endsWith('\n'));
  const { node, epoch, versions } = JSON.parse(line);
  assert.deepEqual([node, epoch, versions[1].routed], ['edge-7', '00f1e2d3c4b5a697', 10]);
  const centre = started();
  assert.equal(centre.merge(line), '{"type":"merge_ok","new":true,"sources":1}\n');
  assert.equal(centre.merge(line), '{"type":"merge_ok","new":false,"sources":1}\n');
  assert.match(centre.merge('garbage'), /"code":12/);
});

test('epochs and seeds are drawn when they are not given', () => {
  const epochs = new Set(Array.from({ length: 20 }, () => JSON.parse(new Crossfade(module).totals()).epoch));
  assert.equal(epochs.size, 20);
  for (const bad of [-1, 0.5, NaN, 2 ** 53]) assert.throws(() => started({ seed: bad }), RangeError);
  assert.equal(started({ seed: 2 ** 53 - 1 }).route('user123').version, 'v2');
});

test('a snapshot carries everything into another engine', () => {
  const one = started();
  for (let client = 0; client < 100; client++) one.route(`client-${client}`);
  const other = started({ policy: { ...policy, versions: ['blue', 'green'], pins: {} }, seed: 99 });
  assert.equal(other.route('user123').version, 'green');
  other.restore(one.snapshot());
  assert.equal(other.route('user123').version, 'v2');
  one.route('user123');
  assert.deepEqual(other.snapshot(), one.snapshot());
  assert.throws(() => other.restore(Uint8Array.of(1, 2, 3)), CrossfadeRefusal);
  assert.equal(other.route('user123').version, 'v2');
});

// Breaks the engines that are made meanwhile for good: what a bug in them might do to
// their memory, the test does from outside.
function breakable(make) {
  const instances = [];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(...args) {
      super(...args);
      instances.push(this);
    }
  };
  try {
    const made = make();
    return [made, () => new Uint8Array(instances[0].exports.memory.buffer).fill(0xff)];
  } finally {
    WebAssembly.Instance = Instance;
  }
}

test('an engine that traps says so once, and a new one goes on with the policy', () => {
  const [crossfade, spoil] = breakable(() => started({ epoch: '00000000000000a1' }));
  crossfade.route('user123');
  crossfade.configure({ ...policy, canary_percentage: 0 });
  spoil();
  assert.throws(() => crossfade.route('user123'), (error) => {
    assert.ok(error instanceof CrossfadeTrap, error);
    assert.equal(error.export, 'crossfade_route');
    assert.ok(error.cause instanceof WebAssembly.RuntimeError);
    return true;
  });
  assert.equal(crossfade.traps, 1);
  assert.deepEqual(crossfade.route('user123'), { version: 'v1', canary: false, reason: 'canary' });
  // Counted from nothing, so it is another run of the node.
  const { epoch, versions } = JSON.parse(crossfade.totals());
  assert.notEqual(epoch, '00000000000000a1');
  assert.deepEqual(versions.map(({ routed }) => routed), [1, 0]);
});

test('with a snapshot, a new engine goes on from there and numbers its reports on', () => {
  const [crossfade, spoil] = breakable(() => started({ epoch: '00000000000000a1' }));
  for (let request = 0; request < 5; request++) crossfade.route('user123');
  crossfade.totals();
  crossfade.snapshot();
  crossfade.totals();
  crossfade.totals();
  crossfade.configure({ ...policy, pins: { user123: 'v1' } });
  spoil();
  assert.throws(() => crossfade.handle('{"type":"get_users","msg_id":1,"user_id":"a"}'), CrossfadeTrap);
  assert.equal(crossfade.route('user123').reason, 'pin');
  const { epoch, sequence, versions } = JSON.parse(crossfade.totals());
  assert.deepEqual([epoch, sequence], ['00000000000000a1', 4]);
  assert.deepEqual(versions.map(({ routed }) => routed), [1, 5]);
});

test('where no new engine can be had, the broken one is still not used again', () => {
  const [crossfade, spoil] = breakable(() => started());
  const { Instance } = WebAssembly;
  spoil();
  // As when there is no memory left.
  WebAssembly.Instance = function none() { throw new RangeError('could not allocate memory'); };
  try {
    assert.throws(() => crossfade.route('qa-1'), { export: 'crossfade_route' });
    for (const call of [() => crossfade.route('qa-1'), () => crossfade.handle('{}'), () => crossfade.totals()]) {
      assert.throws(call, { name: 'CrossfadeTrap', export: 'crossfade_init', message: /no new engine could be started/ });
    }
  } finally {
    WebAssembly.Instance = Instance;
  }
  assert.throws(() => crossfade.route('qa-1'), CrossfadeTrap);
  assert.equal(crossfade.route('qa-1').reason, 'pin');
});

test('the trap carries what the engine said last', () => {
  const said = 'panicked at core/src/engine.rs:1: gone';
  const words = Uint8Array.of(32, 0, 0, 0, said.length, 0, 0, 0);
  const broken = new CrossfadeInstance(new WebAssembly.Module(assemble({
    bodies: { crossfade_handle: unreachable, crossfade_last_panic: constant(16) },
    memory: [[16, words], [32, new TextEncoder().encode(said)]],
  })));
  assert.throws(() => broken.handle('{}\n', 0), (error) => {
    assert.ok(error instanceof CrossfadeTrap);
    assert.deepEqual([error.export, error.panic], ['crossfade_handle', said]);
    assert.match(error.message, /trapped in crossfade_handle: panicked at core/);
    return true;
  });
});

test('an engine that has no room for input is refused', () => {
  const broken = new WebAssembly.Module(assemble({ bodies: { crossfade_input: constant(0) } }));
  assert.throws(() => new CrossfadeInstance(broken), RangeError);
});
