// The worker in a real workerd, between real clients and real origins.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import test, { after, before } from 'node:test';
import { gzipSync } from 'node:zlib';

import { Crossfade } from '../crossfade.js';
import { module } from './engine.mjs';
import { eventually, get, getAll, origin, raw } from './servers.mjs';
import { serveWorker } from './workerd.mjs';

const policy = {
  api: 'users',
  versions: { from: 'v1', to: 'v2' },
  key: { header: 'x-user-id' },
  canary_percentage: 10,
  pins: { 'qa-1': 'v2', 'partner-7': 'v1' },
  deprecation: { deprecated_at: '2027-01-31', sunset_at: '2027-07-31', link: 'https://example.com/migrate' },
};
const STATUS = '/crossfade/status';

let v1;
let v2;
let edge;

before(async () => {
  [v1, v2] = await Promise.all([origin('v1'), origin('v2')]);
  edge = await serveWorker({
    POLICY: policy,
    ORIGIN_v1: { service: v1.port },
    ORIGIN_v2: { service: v2.port },
    REASON_HEADER: 'x-crossfade-reason',
    STATUS_PATH: STATUS,
  });
});

after(() => Promise.all([edge?.stop(), v1?.stop(), v2?.stop()]));

const to = async (headers, path = '/') => (await get(edge.url + path, headers)).json.version;
const status = async (of = edge) => (await get(of.url + STATUS)).json;

// A worker of its own, for one test.
async function withWorker(bindings, use, main) {
  const own = await serveWorker({
    ORIGIN_v1: { service: v1.port }, ORIGIN_v2: { service: v2.port }, STATUS_PATH: STATUS, ...bindings,
  }, main);
  try {
    await use(own);
  } finally {
    await own.stop();
  }
}

test('2,000 users land where the class in Node sends them', async () => {
  const crossfade = new Crossfade(module, { policy });
  const keys = Array.from({ length: 2000 }, (_, n) => `user-${n}`);
  const got = await getAll(keys, (key) => to({ 'x-user-id': key }));
  assert.deepEqual(got, keys.map((key) => crossfade.route(key).version));
  const canaries = got.filter((version) => version === 'v2').length;
  assert.ok(canaries > 150 && canaries < 250, `${canaries}`);
});

test('the origin is told its version, whatever the client says', async () => {
  for (const [key, version] of [['user123', 'v1'], ['qa-1', 'v2']]) {
    for (const forged of ['v1', 'v2', 'v9', '']) {
      const { json } = await get(edge.url, { 'x-user-id': key, 'X-API-Version': forged });
      assert.equal(json.version, version);
      assert.equal(json.headers['x-api-version'], version);
      assert.equal(json.rawHeaders.filter((name) => name.toLowerCase() === 'x-api-version').length, 1);
    }
  }
});

test('the old version\'s responses carry its dates, and all the reason', async () => {
  const old = (await get(edge.url, { 'x-user-id': 'partner-7' })).headers;
  assert.equal(old.deprecation, '@1801353600');
  assert.equal(old.sunset, 'Sat, 31 Jul 2027 00:00:00 GMT');
  assert.equal(old.link, '<https://example.com/migrate>; rel="deprecation"');
  assert.equal(old['x-crossfade-reason'], 'pin');
  const { headers } = await get(edge.url, { 'x-user-id': 'qa-1' });
  for (const name of ['deprecation', 'sunset', 'link']) assert.equal(headers[name], undefined, name);
  assert.equal((await get(edge.url)).headers['x-crossfade-reason'], 'no_key');
});

test('method, path, query, host and headers arrive as they were sent', async () => {
  const body = 'x'.repeat(100_000);
  const { json } = await get(`${edge.url}/a/b%20c?d=e&f=%2F`, { 'x-user-id': 'qa-1', host: 'api.example.com', 'x-odd': 'a;b' }, { method: 'PATCH' }, body);
  assert.equal(json.method, 'PATCH');
  assert.equal(json.url, '/a/b%20c?d=e&f=%2F');
  assert.equal(json.headers.host, 'api.example.com');
  assert.equal(json.headers['x-odd'], 'a;b');
  assert.equal(json.length, body.length);
});

test('requests that no client should send are answered', async () => {
  const ask = async (headers, path = '/') => {
    const head = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`);
    const answer = await raw(edge.port, Buffer.concat([head, Buffer.from(headers, 'latin1'), Buffer.from('\r\n')]));
    const reason = answer.match(/x-crossfade-reason: (\w+)/i)?.[1];
    return [Number(answer.slice(9, 12)), reason, answer.match(/"version":"(v\d)"/)?.[1]];
  };
  const none = [200, 'no_key', 'v1'];
  assert.deepEqual(await ask('x-user-id: a\xff\xfeb\r\n'), none, 'bytes that are not UTF-8');
  assert.deepEqual(await ask('x-other: \xff\xfe\r\nx-user-id: qa-1\r\n'), [200, 'pin', 'v2'], 'such bytes elsewhere');
  assert.deepEqual(await ask('x-user-id: qa-1\r\nx-user-id: qa-1\r\n'), none, 'two keys');
  assert.deepEqual(await ask('x-user-id:\r\n'), none, 'an empty key');
  assert.deepEqual(await ask(`x-user-id: ${'k'.repeat(1024)}\r\n`).then(([code, reason]) => [code, reason]), [200, 'canary'], 'the longest key');
  assert.deepEqual(await ask(`x-user-id: ${'k'.repeat(1025)}\r\n`), none, 'a key over the limit');
  assert.deepEqual(await ask(`x-user-id: ${'k'.repeat(60_000)}\r\n`), none, 'a header of 60 KB');
  assert.deepEqual(await ask(`x-user-id: qa-1\r\nx-other: ${'k'.repeat(60_000)}\r\n`), [200, 'pin', 'v2'], '60 KB elsewhere');
  assert.deepEqual(await ask('x-user-id: qa-1\r\n', '/%ff%00//../?a=%'), [200, 'pin', 'v2'], 'an odd path');
  const { traps, counters } = await status();
  assert.equal(traps, 0);
  assert.deepEqual(counters.undecided, { no_policy: 0, trap: 0, error: 0 });
});

test('no client can pass its own nonsense off as a failure of a version', async () => {
  await withWorker({ POLICY: { ...policy, pins: { qa: 'v2' } }, ORIGINS: { v2: v2.url }, ORIGIN_v2: '' }, async (own) => {
    const ask = async (line, host, key) => {
      const answer = await raw(own.port, `${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nx-user-id: ${key}\r\n\r\n`);
      return Number(answer.slice(9, 12));
    };
    let bad = 0;
    for (const host of ['a*', 'a b', 'a%zz', 'a,b', 'u@h', '[zz', '<a>', 'a#b', 'a?b', 'a\\b', 'a/b:']) {
      for (const key of ['qa', 'user123']) assert.equal(await ask('GET /', host, key), host === 'a/b:' ? 200 : 400, host);
      if (host !== 'a/b:') bad += 2;
    }
    assert.equal(await ask('GET /', 'a:99999', 'user123'), 400);
    assert.equal(await ask('OPTIONS *', 'a', 'qa'), 400);
    assert.equal(await ask('GET /', '[::1]:80', 'user123'), 200);
    assert.equal(await ask('GET //example.com/', 'a_b', 'qa'), 200);
    const { counters, totals: { versions } } = await status(own);
    assert.deepEqual([counters.bad_requests, counters.no_response], [bad + 2, 0]);
    assert.deepEqual(versions.map(({ failures }) => failures), [0, 0]);
  });
});

test('a client that goes away is no failure', async () => {
  const waiting = [];
  const there = await origin('v1', (request, response) => {
    if (request.url === '/hang') waiting.push(response);
    else response.end('{"version":"v1"}');
  });
  await withWorker({ POLICY: policy, ORIGIN_v1: { service: there.port } }, async (own) => {
    const socket = connect(own.port, '127.0.0.1');
    socket.write('GET /hang HTTP/1.1\r\nHost: a\r\n\r\n');
    await eventually('the request', () => waiting.length, (length) => length === 1);
    await new Promise((resolve) => socket.on('close', resolve).destroy());
    await get(own.url);
    waiting[0].end('too late');
    await get(own.url);
    const { totals: { versions: [old] } } = await status(own);
    assert.deepEqual([old.routed, old.failures], [3, 0]);
  });
  await there.stop();
});

test('a key that is text in UTF-8 is hashed as its bytes', async () => {
  const crossfade = new Crossfade(module, { policy: { ...policy, canary_percentage: 50 } });
  const keys = Array.from({ length: 50 }, (_, n) => `usér-日本-${n}`);
  await withWorker({ POLICY: { ...policy, canary_percentage: 50 } }, async (own) => {
    const got = await getAll(keys, async (key) => {
      const sent = Buffer.from(key).toString('latin1');
      return (await get(own.url, { 'x-user-id': sent })).json.version;
    });
    assert.deepEqual(got, keys.map((key) => crossfade.route(key).version));
  });
});

test('keys and attributes come from where the plan says, and from nowhere else', async () => {
  const plan = {
    ...policy,
    key: { cookie: 'uid' },
    attributes: { plan: { header: 'x-plan' }, tier: { cookie: 'tier' } },
    rules: [
      { name: 'beta', when: { attribute: 'plan', equals: 'beta' }, to: 'v2' },
      { name: 'gold', when: { attribute: 'tier', equals: 'gold' }, to: 'v2' },
      { name: 'secret', when: { attribute: 'secret', equals: 'yes' }, to: 'v2' },
    ],
  };
  await withWorker({ POLICY: plan, REASON_HEADER: 'x-why' }, async (own) => {
    const ask = async (headers) => {
      const { headers: { 'x-why': why }, json } = await get(own.url, headers);
      return `${json.version} ${why}`;
    };
    assert.equal(await ask({ 'x-plan': 'beta' }), 'v2 rule');
    assert.equal(await ask({ cookie: 'a=b; tier=gold; c' }), 'v2 rule');
    assert.equal(await ask({ secret: 'yes', 'x-secret': 'yes', cookie: 'secret=yes' }), 'v1 no_key');
    assert.equal(await ask({ cookie: 'x=1; uid=qa-1' }), 'v2 pin');
    assert.equal(await ask({ cookie: 'uid=qa-1; uid=other' }), 'v1 no_key');
    assert.equal(await ask({ cookie: `uid=user123; tier=${'x'.repeat(5000)}`, 'x-plan': 'y'.repeat(5000) }), 'v1 canary');
    assert.deepEqual((await status(own)).counters.undecided, { no_policy: 0, trap: 0, error: 0 });
  });
});

test('who may override the version is a rule', async () => {
  const plan = {
    ...policy,
    attributes: { override: { header: 'x-api-override' }, user: { header: 'x-user-id' } },
    rules: [{
      name: 'qa-override',
      when: { all: [{ attribute: 'override', equals: 'v2' }, { attribute: 'user', in: ['qa-2'] }] },
      to: 'v2',
    }],
  };
  await withWorker({ POLICY: plan }, async (own) => {
    const ask = async (headers) => (await get(own.url, headers)).json.version;
    assert.equal(await ask({ 'x-user-id': 'qa-2', 'x-api-override': 'v2' }), 'v2');
    assert.equal(await ask({ 'x-user-id': 'user123', 'x-api-override': 'v2' }), 'v1');
    assert.equal(await ask({ 'x-user-id': 'qa-2' }), 'v1');
  });
});

test('the address is what the platform says it is', async () => {
  await withWorker({ POLICY: { ...policy, key: { address: true }, pins: { '192.0.2.7': 'v2' } }, ADDRESS_HEADER: 'x-real-ip' }, async (own) => {
    const ask = async (headers) => (await get(own.url, headers)).json.version;
    assert.equal(await ask({ 'x-real-ip': '192.0.2.7' }), 'v2');
    assert.equal(await ask({ 'cf-connecting-ip': '192.0.2.7' }), 'v1');
  });
});

test('origins may be URLs, and a redirect is the client\'s to follow', async () => {
  const there = await origin('v2', (request, response) => {
    response.writeHead(302, { location: 'https://example.com/elsewhere' }).end();
  });
  await withWorker({ POLICY: policy, ORIGINS: { v1: `${v1.url}/base/`, v2: there.url }, ORIGIN_v1: '', ORIGIN_v2: '' }, async (own) => {
    const { problems } = await status(own);
    assert.equal(problems.length, 2, JSON.stringify(problems));
    const { status: code, headers } = await get(`${own.url}/x`, { 'x-user-id': 'qa-1' });
    assert.deepEqual([code, headers.location], [302, 'https://example.com/elsewhere']);
    assert.equal((await get(`${own.url}/x?y=z`)).json.url, '/base/x?y=z');
  });
  await there.stop();
});

test('bodies stream through in both directions, as they were encoded', async () => {
  const zipped = gzipSync('hello '.repeat(1000));
  let resume;
  const there = await origin('v1', async (request, response) => {
    if (request.url === '/zip') {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      return response.end(zipped);
    }
    if (request.url === '/upload') {
      let length = 0;
      for await (const chunk of request) length += chunk.length;
      return response.end(`${length}`);
    }
    response.write('first');
    await new Promise((resolve) => { resume = resolve; });
    return response.end('last');
  });
  await withWorker({ POLICY: policy, ORIGIN_v1: { service: there.port } }, async (own) => {
    const { bytes, headers } = await get(`${own.url}/zip`, { 'accept-encoding': 'gzip' });
    assert.equal(headers['content-encoding'], 'gzip');
    assert.deepEqual(bytes, zipped);
    const chunk = 'y'.repeat(1 << 20);
    assert.equal((await get(`${own.url}/upload`, { 'content-length': 8 << 20 }, { method: 'POST' }, chunk.repeat(8))).body, `${8 << 20}`);
    const reader = (await fetch(`${own.url}/slow`)).body.getReader();
    // The origin ends only after the client has read the beginning.
    assert.equal(Buffer.from((await reader.read()).value).toString(), 'first');
    resume();
    assert.equal(Buffer.from((await reader.read()).value).toString(), 'last');
  });
  await there.stop();
});

test('web sockets pass', async () => {
  const server = createServer();
  const sockets = [];
  server.on('upgrade', (request, socket) => {
    sockets.push(socket.on('error', () => {}));
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`);
    socket.write(Buffer.from([0x81, 2, 0x68, 0x69]));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  await withWorker({ POLICY: policy, ORIGIN_v1: { service: server.address().port } }, async (own) => {
    const socket = connect(own.port, '127.0.0.1');
    socket.write('GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    sockets.push(socket);
    let got = '';
    await new Promise((resolve, reject) => {
      socket.on('error', reject).on('close', resolve).on('data', (chunk) => {
        got += chunk.toString('latin1');
        if (got.endsWith('\x81\x02hi')) resolve();
      });
    });
    assert.match(got, /^HTTP\/1\.1 101 /);
    assert.ok(got.endsWith('\x81\x02hi'), JSON.stringify(got));
  }).finally(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

test('an origin that is down is a 502 and a failure; errors of its own are failures', async () => {
  const broken = await origin('v1', (request, response) => response.writeHead(request.url === '/e' ? 503 : 404).end());
  const gone = await origin('v2');
  await gone.stop();
  await withWorker({ POLICY: policy, ORIGIN_v1: { service: broken.port }, ORIGIN_v2: { service: gone.port } }, async (own) => {
    for (let n = 0; n < 5; n++) {
      const { status: code, body } = await get(own.url, { 'x-user-id': 'qa-1' });
      assert.deepEqual([code, body], [502, 'bad gateway\n']);
    }
    assert.equal((await get(`${own.url}/e`)).status, 503);
    assert.equal((await get(`${own.url}/n`)).status, 404);
    const { totals: { versions }, counters } = await status(own);
    assert.deepEqual(versions.map(({ version, routed, requests, failures }) => [version, routed, requests, failures]), [['v1', 2, 2, 1], ['v2', 5, 5, 5]]);
    assert.equal(counters.no_response, 5);
    assert.deepEqual(versions[1].latency, []);
  });
  await broken.stop();
});

test('what the bindings get wrong is said all at once, and the worker serves', async () => {
  const bindings = { POLICY: '{"api":', POLL_MS: 'often', VERSION_HEADER: 'a b', CONTROL: 'ftp://x', ORIGIN_v3: 'nowhere' };
  await withWorker(bindings, async (own) => {
    const { json, status: code } = await get(own.url, { 'x-api-version': 'v2' });
    assert.deepEqual([code, json.version, json.headers['x-api-version']], [200, 'v1', undefined]);
    const { problems, counters } = await status(own);
    for (const name of ['POLICY', 'POLL_MS', 'VERSION_HEADER', 'CONTROL', 'ORIGIN_v3']) {
      assert.ok(problems.some((problem) => problem.startsWith(`${name}: `)), `${name}: ${problems}`);
      assert.ok(own.log().includes(`crossfade: ${name}: `), own.log());
    }
    assert.equal(problems.length, 5);
    assert.equal(counters.undecided.no_policy, 1);
  });
});

test('a policy for versions without an origin is refused', async () => {
  await withWorker({ POLICY: { ...policy, versions: ['v1', 'v2', 'v3'] } }, async (own) => {
    assert.equal((await get(own.url, { 'x-user-id': 'qa-1' })).json.version, 'v1');
    assert.match(own.log(), /policy 0 is refused: there is no origin for v3/);
  });
});

test('an engine that traps costs its request the new version, and no more', async () => {
  await withWorker({ POLICY: policy }, async (own) => {
    const ask = async () => (await get(own.url, { 'x-user-id': 'qa-1' })).json.version;
    assert.equal(await ask(), 'v2');
    assert.ok(Number((await get(`${own.url}/trap`)).body) > 0);
    assert.equal(await ask(), 'v1');
    assert.equal(await ask(), 'v2');
    const { traps, counters } = await status(own);
    assert.deepEqual([traps, counters.undecided.trap], [1, 1]);
    assert.match(own.log(), /crossfade: the engine trapped in crossfade_\w+: RuntimeError/);
  }, 'test/trapping.worker.js');
});
