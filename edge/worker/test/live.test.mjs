// The worker and a control server: policies come down, totals go up, and nothing that
// goes wrong between them is noticed by a request.

import assert from 'node:assert/strict';
import test, { after, afterEach, before, beforeEach } from 'node:test';

import { Crossfade } from '../crossfade.js';
import { module } from './engine.mjs';
import { control, eventually, get, getAll, origin } from './servers.mjs';
import { serveWorker } from './workerd.mjs';

const base = { api: 'users', versions: { from: 'v1', to: 'v2' }, key: { header: 'x-user-id' } };
const all = (version) => ({ ...base, split: { [version]: 1 } });
const STATUS = '/crossfade/status';

let v1;
let v2;
let server;
let edge;

before(async () => {
  [v1, v2] = await Promise.all([origin('v1'), origin('v2', (request, response) => {
    response.writeHead(request.url === '/fail' ? 500 : 200).end('{"version":"v2"}');
  })]);
});
after(() => Promise.all([v1.stop(), v2.stop()]));
beforeEach(async () => { server = await control(); });
afterEach(async () => {
  await edge?.stop();
  await server.stop();
});

async function start(bindings = {}, main = undefined) {
  edge = await serveWorker({
    ORIGIN_v1: { service: v1.port },
    ORIGIN_v2: { service: v2.port },
    CONTROL: { service: server.port },
    POLL_MS: '20',
    REPORT_MS: '20',
    TIMEOUT_MS: '500',
    STATUS_PATH: STATUS,
    ...bindings,
  }, main);
}

const ask = async (key = 'user123') => (await get(edge.url, { 'x-user-id': key })).json.version;
// The newest report of each epoch: reports may overtake one another on their way.
function newest() {
  const reports = [...server.reports].sort((a, b) => a.sequence - b.sequence);
  return new Map(reports.map((report) => [report.epoch, report]));
}

const status = async () => (await get(edge.url + STATUS)).json;

// Requests drive the polls, so each look is one.
const reaches = (revision) => eventually(`revision ${revision}`, async () => {
  await ask();
  return status();
}, (got) => got.revision === revision);

test('the first policy comes after the first request, and newer ones while it serves', async () => {
  server.policy = { revision: 3, document: all('v2') };
  await start();
  assert.equal(await ask(), 'v1');
  await reaches(3);
  assert.equal(await ask(), 'v2');
  server.policy = { revision: 4, document: all('v1') };
  await reaches(4);
  assert.equal(await ask(), 'v1');
  assert.ok(server.asked.includes('"3"') && server.asked[0] === undefined, JSON.stringify(server.asked));
});

test('only a higher revision is taken', async () => {
  server.policy = { revision: 7, document: all('v2') };
  await start();
  await reaches(7);
  server.policy = { revision: 6, document: all('v1') };
  const before = server.asked.length;
  await eventually('three more polls', async () => { await ask(); return server.asked.length; }, (asked) => asked > before + 3);
  assert.equal(await ask(), 'v2');
  assert.equal((await status()).revision, 7);
});

test('a server that is slow, silent, refusing or talking nonsense changes nothing', async () => {
  server.policy = { revision: 1, document: all('v2') };
  await start({ TIMEOUT_MS: '100' });
  await reaches(1);
  const wrong = {
    status: (response) => response.writeHead(500).end('no'),
    answer: (response) => response.end('{"revision":2,"document'),
    too_large: (response) => response.end(Buffer.alloc((4 << 20) + 1, ' ')),
    network: (response) => setTimeout(() => response.end('late'), 5000).unref(),
    policy: (response) => response.end(JSON.stringify({ revision: 2, document: { api: 'users' } })),
  };
  for (const [kind, answer] of Object.entries(wrong)) {
    const before = (await status()).counters.control_errors[kind];
    server.answer = (_, response) => answer(response);
    await eventually(kind, async () => {
      assert.equal(await ask(), 'v2', kind);
      return (await status()).counters.control_errors[kind];
    }, (count) => count > before);
    assert.equal((await status()).revision, 1);
  }
  for (const body of ['null', '[]', '{"revision":"9","document":{}}', '{"revision":-1,"document":{}}', '{"revision":9}', '\xff']) {
    server.answer = (_, response) => response.end(body);
    const before = (await status()).counters.control_errors.answer;
    await eventually(body, async () => {
      assert.equal(await ask(), 'v2', body);
      return (await status()).counters.control_errors.answer;
    }, (count) => count > before);
  }
  server.answer = undefined;
  server.policy = { revision: 2, document: all('v1') };
  await reaches(2);
});

test('a server that is down is counted, and found again', async () => {
  server.policy = { revision: 5, document: all('v2') };
  await start();
  await reaches(5);
  await server.stop();
  await eventually('an error', async () => {
    assert.equal(await ask(), 'v2');
    return (await status()).counters.control_errors.network;
  }, (count) => count > 2);
});

test('no request waits for the server', async () => {
  server.answer = () => {};
  await start({ TIMEOUT_MS: '25000', POLICY: all('v2') });
  const begun = Date.now();
  for (let n = 0; n < 20; n++) assert.equal(await ask(), 'v2');
  assert.ok(Date.now() - begun < 10_000);
  assert.equal(server.asked.length, 1);
});

test('totals are exact, absolute and of one epoch, without another request', async () => {
  await start({ POLICY: { ...base, canary_percentage: 50 }, CONTROL_TOKEN: 'secret', NODE: 'edge-7' });
  const keys = Array.from({ length: 1000 }, (_, n) => `user-${n}`);
  const got = await getAll(keys, ask);
  const failed = await getAll(keys.slice(0, 100), async (key) => (await get(`${edge.url}/fail`, { 'x-user-id': key })).status);
  const failures = failed.filter((code) => code === 500).length;
  const to = (version) => got.filter((one) => one === version).length;
  const last = await eventually('the last report', () => [...newest().values()][0], (report) => {
    const requests = report?.versions.reduce((sum, { requests }) => sum + requests, 0);
    return requests === 1100;
  });
  assert.deepEqual(last.versions.map(({ version, routed, requests, failures: f }) => [version, routed, requests, f]), [
    ['v1', to('v1') + 100 - failures, to('v1') + 100 - failures, 0],
    ['v2', to('v2') + failures, to('v2') + failures, failures],
  ]);
  assert.ok(failures > 20 && failures < 80);
  for (const { latency, requests } of last.versions) {
    assert.equal(latency.reduce((sum, [, count]) => sum + count, 0), requests);
  }
  assert.match(last.node, /^edge-7-[0-9a-f]{8}$/);
  assert.equal(new Set(server.reports.map(({ epoch }) => epoch)).size, 1);
  assert.equal(new Set(server.reports.map(({ sequence }) => sequence)).size, server.reports.length);
  assert.ok(server.tokens.every((token) => token === 'Bearer secret'));
});

test('totals bear the revision that the server gave', async () => {
  server.policy = { revision: 41, document: all('v2') };
  await start();
  await reaches(41);
  await eventually('a report', async () => { await ask(); return server.reports.at(-1); }, (report) => report?.revision === 41);
});

test('the guard brakes at once, and lets go with a newer policy', async () => {
  const guard = { max_failure_ratio: 0.5, min_requests: 20 };
  await start({ POLICY: { ...all('v2'), guard }, REASON_HEADER: 'x-why' });
  const fail = () => get(`${edge.url}/fail`, { 'x-user-id': 'user123' });
  const braked = await eventually('the guard', fail, ({ headers }) => headers['x-why'] === 'guard');
  assert.equal(braked.json.version, 'v1');
  assert.equal((await status()).guard_tripped, true);
  assert.match(edge.log(), /"event":"guard_tripped"/);
  server.policy = { revision: 2, document: all('v2') };
  await reaches(2);
  assert.equal(await ask(), 'v2');
  assert.equal((await status()).guard_tripped, false);
});

test('a tripped guard holds when the engine traps', async () => {
  const guard = { max_failure_ratio: 0.5, min_requests: 20 };
  await start({ POLICY: { ...all('v2'), guard } }, 'test/trapping.worker.js');
  const fail = () => get(`${edge.url}/fail`, { 'x-user-id': 'user123' });
  await eventually('the guard', fail, (answer) => answer.status === 200);
  await get(`${edge.url}/trap`);
  for (let n = 0; n < 5; n++) assert.equal(await ask(), 'v1');
  assert.equal((await status()).traps, 1);
  server.policy = { revision: 1, document: all('v2') };
  await reaches(1);
  assert.equal(await ask(), 'v2');
});

test('a policy that no longer has a version begins a new epoch, and nothing is lost', async (t) => {
  const v3 = await origin('v3');
  t.after(() => v3.stop());
  const seen = v1.seen.length;
  await start({ POLICY: all('v1'), ORIGIN_v3: { service: v3.port } });
  for (let n = 0; n < 10; n++) await ask();
  server.policy = { revision: 1, document: { ...base, versions: ['v2', 'v3'], split: { v3: 1 } } };
  await reaches(1);
  assert.equal(await ask(), 'v3');
  const routed = v1.seen.length - seen;
  assert.ok(routed >= 10);
  const { counters, totals } = await status();
  assert.equal(counters.engines_renewed, 1);
  // A request that was under way when its version went away ends unheard.
  assert.ok(counters.outcomes_dropped <= 1);
  await eventually('the old epoch, whole', async () => {
    await ask();
    return [...newest().values()].find(({ epoch }) => epoch !== totals.epoch)?.versions[0];
  }, (old) => old?.version === 'v1' && old.routed === routed && old.requests === routed - counters.outcomes_dropped);
});

test('a split lies where a node without a past would lay it', async (t) => {
  const v3 = await origin('v3');
  t.after(() => v3.stop());
  const three = { ...base, versions: ['v1', 'v2', 'v3'] };
  const [early, late] = [{ v1: 60, v2: 30, v3: 10 }, { v1: 30, v2: 30, v3: 40 }];
  await start({ POLICY: { ...three, split: early }, ORIGIN_v3: { service: v3.port } });
  const keys = Array.from({ length: 300 }, (_, n) => `user-${n}`);
  await getAll(keys, ask);
  server.policy = { revision: 1, document: { ...three, split: late } };
  await reaches(1);
  const fresh = new Crossfade(module, { policy: { ...three, split: late } });
  const grown = new Crossfade(module, { policy: { ...three, split: early } });
  grown.configure({ ...three, split: late });
  const expected = keys.map((key) => fresh.route(key).version);
  assert.deepEqual(await getAll(keys, ask), expected);
  assert.notDeepEqual(keys.map((key) => grown.route(key).version), expected);
});

test('totals that are refused are not sent for ever', async () => {
  await start({ POLICY: all('v2') });
  server.refuse = true;
  await eventually('a refusal', async () => { await ask(); return edge.log(); }, (log) => log.includes('1 totals are refused: {"type":"error"'));
  assert.ok((await status()).counters.reports > 0);
});

test('a thousand requests under way see a new policy come', async () => {
  server.policy = { revision: 1, document: all('v1') };
  await start();
  await reaches(1);
  server.policy = { revision: 2, document: all('v2') };
  const got = await getAll(Array.from({ length: 1000 }, (_, n) => `user-${n}`), async (key) => {
    const { status: code, json } = await get(edge.url, { 'x-user-id': key });
    assert.equal(code, 200);
    return json.version;
  });
  assert.equal(got[0], 'v1');
  assert.equal(await ask(), 'v2');
});

test('memory is bounded: an engine that knows too many clients makes room for a new one', async () => {
  await start({ POLICY: { ...base, canary_percentage: 50 }, STATUS_PATH: STATUS });
  const key = (n) => `${n}-`.padEnd(1024, 'k');
  const batch = 2000;
  let sent = 0;
  const after = await eventually('a new engine', async () => {
    await getAll(Array.from({ length: batch }, (_, n) => key(sent + n)), ask);
    sent += batch;
    return status();
  }, ({ counters }) => counters.engines_renewed > 0 || sent > 60_000, 120_000);
  assert.equal(after.counters.engines_renewed, 1, `${after.engine_bytes} bytes after ${sent}`);
  assert.ok(after.engine_bytes < 32 << 20);
  await eventually('all the counts', async () => {
    return [...newest().values()].flatMap(({ versions }) => versions).reduce((sum, { routed }) => sum + routed, 0);
  }, (routed) => routed === sent);
});
