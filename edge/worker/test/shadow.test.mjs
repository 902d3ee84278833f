// The shadow: the newest version is asked as well, nobody gets its answer, and what came
// of it goes up with the totals.

import assert from 'node:assert/strict';
import test, { after, afterEach, before, beforeEach } from 'node:test';

import { Crossfade } from '../crossfade.js';
import { module } from './engine.mjs';
import { control, eventually, get, getAll, origin } from './servers.mjs';
import { serveWorker } from './workerd.mjs';

const plan = (shadow, more = {}) => ({
  api: 'users', versions: { from: 'v1', to: 'v2' }, key: { header: 'x-user-id' }, pins: { qa: 'v2' }, shadow, ...more,
});
const STATUS = '/crossfade/status';

let v1;
let v2;
let server;
let edge;
// What v2 does with a request, and what it got.
let newest;
let mirrored;
// Requests at v1 that pass for copies.
let marked;

const media = (response, status, type = 'application/json') => response.writeHead(status, { 'content-type': type });

before(async () => {
  v1 = await origin('v1', (request, response) => {
    marked += Number('x-crossfade-shadow' in request.headers);
    const status = Number(request.headers['x-old-status'] ?? 200);
    media(response, status, request.headers['x-old-type']).end(status === 304 ? undefined : 'old');
  });
  v2 = await origin('v2', (request, response) => {
    const { method, url, headers } = request;
    mirrored.push({ method, url, headers });
    newest(request, response);
  });
});
after(() => Promise.all([v1.stop(), v2.stop()]));
beforeEach(async () => {
  mirrored = [];
  marked = 0;
  newest = (_, response) => media(response, 200, 'application/json; charset=utf-8').end('new');
  server = await control();
});
afterEach(async () => {
  await edge?.stop();
  await server.stop();
});

async function start(shadow, bindings = {}, more = {}) {
  server.policy = { revision: 1, document: plan(shadow, more) };
  edge = await serveWorker({
    ORIGIN_v1: { service: v1.port },
    ORIGIN_v2: { service: v2.port },
    POLICY: plan(shadow, more),
    CONTROL: { service: server.port },
    POLL_MS: '20',
    REPORT_MS: '20',
    SHADOW_TIMEOUT_MS: '300',
    STATUS_PATH: STATUS,
    ...bindings,
  });
}

const ask = async (path = '/', headers = {}, options = {}, body = undefined) => {
  const got = await get(edge.url + path, { 'x-user-id': 'ann', ...headers }, options, body);
  if (headers['x-user-id'] !== 'qa') assert.ok(got.body === 'old' || got.body === '', got.body);
  return got;
};
const status = async () => (await get(edge.url + STATUS)).json;
const counted = async () => (await status()).counters.shadow;
const becomes = (expected) => eventually(JSON.stringify(expected), counted, (got) => JSON.stringify(got) === JSON.stringify(expected));

test('clients are answered by v1 alone; v2 gets what changes nothing, marked, and the totals say how it did', async () => {
  await start({ percentage: 100 });
  await ask('/users?a=b', { authorization: 'Bearer x', cookie: 'c=d', te: 'trailers', 'x-api-version': 'v9' });
  await becomes({ compared: 1, differed: 0, failures: 0, dropped: 0 });
  const [{ method, url, headers }] = mirrored;
  assert.deepEqual([method, url], ['GET', '/users?a=b']);
  assert.equal(headers['x-crossfade-shadow'], '1');
  assert.deepEqual([headers.authorization, headers.cookie, headers['x-user-id']], ['Bearer x', 'c=d', 'ann']);
  assert.deepEqual([headers['x-api-version'], headers.te], ['v2', undefined]);
  await ask('/', {}, { method: 'POST' }, '{}');
  await ask('/', {}, { method: 'DELETE' });
  await ask('/', { 'content-length': 4 }, {}, 'body');
  await ask('/', { 'transfer-encoding': 'chunked' }, {}, 'body');
  await ask('/', { 'x-crossfade-shadow': '1' });
  assert.equal(marked, 0);
  await ask('/', { 'x-old-status': '503' });
  await ask('/', { 'x-old-type': 'text/event-stream' });
  await ask('/', {}, { method: 'HEAD' });
  await becomes({ compared: 2, differed: 0, failures: 0, dropped: 0 });
  assert.deepEqual(mirrored.map((request) => request.method), ['GET', 'HEAD']);
  await eventually('a report', () => server.reports, (reports) => reports.some(({ versions: [old, young] }) => (
    old.shadow === undefined && young.shadow?.compared === 2 && young.routed === 0)));
  // Who gets v2 anyway is not compared with it.
  assert.equal((await ask('/', { 'x-user-id': 'qa', 'x-crossfade-shadow': '1' })).body, 'new');
  assert.equal(mirrored.length, 3);
  assert.equal(mirrored[2].headers['x-crossfade-shadow'], undefined, 'no client passes for a copy');
  assert.equal((await counted()).compared, 2);
});

test('another status, another media type, a failure and silence differ', async () => {
  await start({ percentage: 100 });
  const json = 'application/json';
  const expected = { compared: 0, differed: 0, failures: 0, dropped: 0 };
  for (const [serve, adds, headers] of [
    [(_, response) => media(response, 404).end(), { differed: 1 }],
    [(_, response) => media(response, 200, 'text/html').end(), { differed: 1 }],
    [(_, response) => response.writeHead(304).end(), {}],
    [(_, response) => media(response, 200, json).end(), {}, { 'x-old-status': '304' }],
    [(_, response) => response.writeHead(302, { location: '/elsewhere', 'content-type': json }).end(), { differed: 1 }],
    [(_, response) => response.writeHead(302, { location: '/elsewhere', 'content-type': json }).end(), {}, { 'x-old-status': '302' }],
    [(_, response) => media(response, 500).end(), { differed: 1, failures: 1 }],
    [(request) => request.destroy(), { differed: 1, failures: 1 }],
    [() => {}, { differed: 1, failures: 1 }],
    [(_, response) => media(response, 200, json).write('this goes on for ever'), {}],
  ]) {
    newest = serve;
    await ask('/', headers);
    expected.compared += 1;
    for (const [what, count] of Object.entries(adds)) expected[what] += count;
    await becomes(expected);
  }
  assert.match(edge.log(), /crossfade: shadow: GET \/: 200 application\/json by v1, 404 application\/json by v2/);
});

test('only the status is compared where the plan says so', async () => {
  await start({ percentage: 100, content_type: false });
  newest = (_, response) => media(response, 200, 'text/html').end();
  await ask();
  await becomes({ compared: 1, differed: 0, failures: 0, dropped: 0 });
});

test('no more than so many are under way; what comes meanwhile is counted and nobody waits', async () => {
  await start({ percentage: 100 }, { SHADOW_TIMEOUT_MS: '20000' });
  const held = [];
  newest = (_, response) => held.push(response);
  await getAll(Array.from({ length: 40 }), () => ask(), 8);
  await eventually('16 requests at v2', () => held.length, (length) => length === 16);
  await becomes({ compared: 0, differed: 0, failures: 0, dropped: 24 });
  for (const response of held) media(response, 200).end();
  await becomes({ compared: 16, differed: 0, failures: 0, dropped: 24 });
});

test('the same share of clients as everywhere, and the policy that has left the shadow stops it', async () => {
  await start({ percentage: 30 }, {}, { salt: 's' });
  const keys = Array.from({ length: 60 }, (_, n) => `user${n}`);
  for (const key of keys) {
    const before = mirrored.length;
    await ask('/', { 'x-user-id': key });
    const chosen = chosenBy('s/shadow', 30, key);
    if (chosen) await eventually(key, () => mirrored.length, (length) => length === before + 1);
  }
  const chosen = keys.filter((key) => chosenBy('s/shadow', 30, key));
  assert.deepEqual(mirrored.map(({ headers }) => headers['x-user-id']), chosen);
  server.policy = { revision: 2, document: plan({ percentage: 30, stopped: true }, { salt: 's' }) };
  await eventually('revision 2', async () => { await ask('/'); return status(); }, ({ revision }) => revision === 2);
  const before = mirrored.length;
  for (const key of chosen) await ask('/', { 'x-user-id': key });
  assert.equal(mirrored.length, before);
  assert.equal((await counted()).failures, 0);
});

// Whom a canary of this share under this salt has.
function chosenBy(salt, percentage, key) {
  chosenBy.engine ??= new Crossfade(module, {
    policy: { api: 'a', versions: ['v1', 'v2'], key: { address: true }, salt, canary_percentage: percentage },
  });
  return chosenBy.engine.decide({ key, count: false }).version === 'v2';
}
