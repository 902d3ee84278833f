// Brownouts and the sunset in a real workerd, by the policy alone.

import assert from 'node:assert/strict';
import test, { after, afterEach, before, beforeEach } from 'node:test';

import { control, eventually, get, origin } from './servers.mjs';
import { serveWorker } from './workerd.mjs';

const base = { api: 'users', versions: { from: 'v1', to: 'v2' }, key: { header: 'x-user-id' }, pins: { new: 'v2' } };

let v1;
let v2;
let server;
let edge;

before(async () => { [v1, v2] = await Promise.all([origin('v1'), origin('v2')]); });
after(() => Promise.all([v1.stop(), v2.stop()]));
beforeEach(async () => {
  server = await control();
  v1.seen.length = 0;
});
afterEach(async () => {
  await edge?.stop();
  await server.stop();
});

async function start(more) {
  const policy = { ...base, ...more };
  server.policy = { revision: 1, document: policy };
  edge = await serveWorker({
    ORIGIN_v1: { service: v1.port },
    ORIGIN_v2: { service: v2.port },
    CONTROL: { service: server.port },
    POLICY: JSON.stringify(policy),
    POLL_MS: '20',
    REPORT_MS: '20',
    REASON_HEADER: 'x-why',
  });
}

const ask = (key, path = '/', options = {}, body = undefined) => get(edge.url + path, { 'x-user-id': key }, options, body);
const minutes = (fromNow) => new Date(Date.now() + fromNow * 60_000).toISOString();

test('after the sunset old calls get 410 with the dates, and new ones are served', async () => {
  await start({ deprecation: {
    deprecated_at: '2024-06-30T23:59:59Z', sunset_at: '2024-12-31T23:59:59Z', link: 'https://example.com/migrate', successor: 'https://api.example.com/v2',
  } });
  for (const answer of [await ask('old'), await ask('old', '/', { method: 'POST' }, 'hello')]) {
    assert.equal(answer.status, 410);
    const { deprecation, sunset, link, 'content-type': type, 'cache-control': kept, 'x-why': why } = answer.headers;
    assert.deepEqual({ deprecation, sunset, link, type, kept, why }, {
      deprecation: '@1719791999',
      sunset: 'Tue, 31 Dec 2024 23:59:59 GMT',
      link: '<https://example.com/migrate>; rel="deprecation", <https://api.example.com/v2>; rel="successor-version"',
      type: 'application/problem+json',
      kept: 'no-store',
      why: 'gone',
    });
    const { status, title, reason } = answer.json;
    assert.deepEqual({ status, title, reason }, { status: 410, title: 'Gone', reason: 'gone' });
  }
  const { status, json, headers } = await ask('new');
  assert.deepEqual([status, json.version, headers.deprecation], [200, 'v2', undefined]);
  assert.deepEqual(v1.seen, []);
  const { rows } = server.clients;
  await eventually('the client to be told', () => rows.get('key old'), (row) => row?.refused === 2 && row.requests.v1 === 2);
  assert.equal(rows.get('key new').refused, 0);
});

test('or 308 to the successor, with path and query as they were sent', async () => {
  await start({ deprecation: {
    deprecated_at: '2024-06-30', sunset_at: '2024-12-31', after: 'redirect', successor: 'https://api.example.com',
  } });
  for (const path of ['/', '/users/7?a=b%20c&d=%0d%0a', '//evil.example/x', `/${'x'.repeat(8000)}`]) {
    const { status, headers, body } = await ask('old', path);
    assert.deepEqual([status, headers.location, body], [308, `https://api.example.com${path}`, '']);
    assert.equal(headers['cache-control'], 'no-store');
  }
});

test('rules take the long way, and refuse all the same', async () => {
  await start({
    attributes: { plan: { header: 'x-plan' } },
    rules: [{ name: 'beta', when: { attribute: 'plan', equals: 'beta' }, to: 'v2' }],
    deprecation: { deprecated_at: '2024-06-30', sunset_at: '2024-12-31' },
  });
  assert.equal((await ask('old')).status, 410);
  assert.equal((await get(edge.url, { 'x-user-id': 'old', 'x-plan': 'beta' })).status, 200);
});

test('a brownout hits a client wholly, exempt ones never, and is announced and stopped', async () => {
  const brownout = (from, percentage) => ({
    brownouts: [{ name: 'first', start: minutes(from), minutes: 60, percentage, exempt: ['partner-7'], announce_minutes: 60 }],
    clients: { pinned_back: ['back'] },
  });
  const publish = (revision, more) => { server.policy = { revision, document: { ...base, ...more } }; };
  await start(brownout(30, 100));
  const announced = await ask('old');
  assert.equal(announced.status, 200);
  assert.match(announced.headers['api-brownout'], /Z\/2/);
  assert.equal((await ask('new')).headers['api-brownout'], undefined);

  publish(2, brownout(-10, 30));
  const clients = Array.from({ length: 200 }, (_, n) => `client ${n}`);
  await eventually('the brownout', async () => (await Promise.all(clients.map((key) => ask(key)))).some(({ status }) => status === 503), Boolean);
  let hit = 0;
  for (const key of clients) {
    const answers = await Promise.all([ask(key), ask(key), ask(key)]);
    const [{ status, headers, json }] = answers;
    assert.ok(answers.every((answer) => answer.status === status), key);
    if (status === 200) continue;
    hit += 1;
    assert.deepEqual([status, headers['x-why'], headers['content-type'], json.brownout], [503, 'brownout', 'application/problem+json', 'first']);
    assert.ok(headers['retry-after'] > 2900 && headers['retry-after'] <= 3000, headers['retry-after']);
  }
  assert.ok(hit > 30 && hit < 90, `${hit} of 200`);

  publish(3, brownout(-10, 100));
  await eventually('everybody', async () => (await ask('client 0')).status + (await ask('client 1')).status, (sum) => sum === 1006);
  for (const key of ['partner-7', 'back', 'new']) assert.equal((await ask(key)).status, 200, key);

  publish(4, {});
  await eventually('its end', async () => (await ask('client 0')).status, (status) => status === 200);
});
