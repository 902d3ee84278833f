// Who called: the worker's reports of clients to a control server, and what it makes of
// headers that a client may fill with anything.

import assert from 'node:assert/strict';
import test, { after, afterEach, before, beforeEach } from 'node:test';

import { Clients, CLIENTS_MAX, declared, product } from '../clients.js';
import { Crossfade } from '../crossfade.js';
import { module } from './engine.mjs';
import { control, eventually, get, getAll, origin } from './servers.mjs';
import { serveWorker } from './workerd.mjs';

const base = { api: 'users', versions: { from: 'v1', to: 'v2' }, key: { header: 'x-user-id' }, pins: { pinned: 'v2' } };
const STATUS = '/crossfade/status';

let v1;
let v2;
let server;
let edge;

before(async () => {
  const failing = (version) => origin(version, (request, response) => {
    response.writeHead(request.url === '/fail' ? 500 : 200).end(`{"version":"${version}"}`);
  });
  [v1, v2] = await Promise.all([failing('v1'), failing('v2')]);
});
after(() => Promise.all([v1.stop(), v2.stop()]));
beforeEach(async () => { server = await control(); });
afterEach(async () => {
  await edge?.stop();
  await server.stop();
});

async function start(policy = base, bindings = {}) {
  server.policy = { revision: 1, document: policy };
  edge = await serveWorker({
    ORIGIN_v1: { service: v1.port },
    ORIGIN_v2: { service: v2.port },
    CONTROL: { service: server.port },
    POLICY: JSON.stringify(policy),
    POLL_MS: '3600000',
    REPORT_MS: '20',
    TIMEOUT_MS: '500',
    ADDRESS_HEADER: 'x-address',
    STATUS_PATH: STATUS,
    ...bindings,
  });
}

const ask = (headers, path = '/') => get(edge.url + path, headers);
const each = (keys) => getAll(keys, (key) => ask({ 'x-user-id': key }));
const status = async () => (await get(edge.url + STATUS)).json;
const told = (requests) => eventually(`${requests} requests in reports`, () => {
  const sum = server.clients.requests();
  assert.ok(sum <= requests, `${sum} of ${requests} were told`);
  return sum;
}, (sum) => sum === requests);
const known = (enough) => eventually('all that is known', () => Object.fromEntries(server.clients.rows), enough);

test('each request is told once, whatever the control server does', async () => {
  await start();
  const keys = Array.from({ length: 300 }, (_, n) => `client ${n % 100}`);
  await each(keys);
  await told(300);
  server.clients.refuse = 503;
  await each(keys);
  await eventually('reports that are not taken', async () => {
    await ask({ 'x-user-id': 'client 0' });
    await ask({ 'x-user-id': 'client 0' });
    return server.clients.refused;
  }, (refused) => refused > 3);
  server.clients.refuse = undefined;
  server.clients.lie = 500;
  await each(keys);
  await eventually('a report that comes again', async () => {
    await ask({ 'x-user-id': 'client 0' });
    return server.clients.repeated;
  }, (repeated) => repeated > 0);
  server.clients.lie = undefined;
  await each(keys);
  const { rows } = server.clients;
  await eventually('all to be told', () => rows.get('key client 1').requests.v1, (count) => count === 12);
  const asked = v1.seen.filter((key) => key === 'client 0').length;
  await eventually('all of the first', () => rows.get('key client 0').requests.v1, (count) => count === asked);
  assert.equal(rows.size, 100);
  assert.equal(server.clients.dropped, 0);
  const { counters } = await status();
  assert.ok(counters.client_reports > 0 && counters.client_reports_refused === 0, JSON.stringify(counters));
});

test('a report that will never be taken is given up, and its requests are told as dropped', async () => {
  await start();
  server.clients.refuse = 400;
  await each(['a', 'b']);
  await eventually('a report that is refused', () => server.clients.refused, (refused) => refused > 0);
  server.clients.refuse = undefined;
  await each(['c']);
  await told(3);
  assert.ok(server.clients.dropped >= 2);
  assert.equal((await status()).counters.client_reports_refused, server.clients.refused);
});

test('versions, failures, software and declarations are told of each', async () => {
  await start({ ...base, clients: {
    identity: [{ header: 'x-api-key' }, 'mtls', 'address'], declare: { header: 'x-api-migration' },
  } });
  await ask({ 'x-user-id': 'pinned', 'user-agent': 'okhttp/4.12.0 (linux)' }, '/fail');
  await ask({ 'x-user-id': 'pinned', 'user-agent': 'okhttp/4.12.0' });
  await ask({ 'x-user-id': 'ann', 'x-api-migration': 'blocked: uses /export' });
  await ask({ 'x-api-key': 'key-7', 'x-api-migration': 'ready' }, '/fail');
  await ask({ 'x-address': '192.0.2.1', 'user-agent': 'curl/8.5' });
  await ask({ 'x-api-key': '', 'x-address': '192.0.2.2', 'user-agent': '\u00e9' });
  await ask({ 'user-agent': 'nobody/1' });
  await told(6);
  // What the engine does not see of a call comes when it is over: perhaps in the next report.
  const rows = await known((all) => all['key pinned'].failures === 1 && all['api_key key-7'] && all['key ann'].says);
  assert.deepEqual(rows['key pinned'], { requests: { v2: 2 }, failures: 1, refused: 0, on: 'v2', agent: 'okhttp/4.12.0' });
  assert.deepEqual(rows['key ann'].says, { blocked: 'uses /export' });
  assert.deepEqual(rows['api_key key-7'], { requests: { v1: 1 }, failures: 1, refused: 0, on: 'v1', says: 'ready' });
  assert.deepEqual(rows['address 192.0.2.1 curl/8.5'].requests, { v1: 1 });
  assert.deepEqual(rows['address 192.0.2.2'].requests, { v1: 1 });
});

test('an engine that makes room for a new one leaves its clients behind for the server', async () => {
  await start(base, { POLL_MS: '20', ORIGIN_v3: { service: v2.port } });
  server.clients.refuse = 503;
  await each(['ann', 'bob']);
  // A plan without v1, which was counted, takes another engine.
  server.policy = { revision: 2, document: { ...base, versions: { from: 'v2', to: 'v3' } } };
  await eventually('another engine', async () => {
    await each(['eve']);
    return (await status()).counters.engines_renewed;
  }, (renewed) => renewed === 1);
  server.clients.refuse = undefined;
  await each(['eve']);
  const { rows } = server.clients;
  await eventually('everybody', async () => {
    await each(['eve']);
    return rows.get('key ann')?.requests.v1 === 1 && rows.get('key bob')?.requests.v1 === 1 && rows.get('key eve')?.requests.v2 > 0;
  }, Boolean);
  assert.equal(server.clients.dropped, 0);
});

test('hostile headers are short or nothing', async () => {
  await start({ ...base, clients: { declare: { header: 'x-api-migration' } } });
  const long = 'x'.repeat(60_000);
  for (const [key, headers] of Object.entries({
    long: { 'user-agent': long, 'x-api-migration': `blocked: ${long}` },
    parens: { 'user-agent': '('.repeat(30_000), 'x-api-migration': ')'.repeat(30_000) },
    control: { 'user-agent': 'a\u0080b/1', 'x-api-migration': 'blocked:\u0085 no\ttime' },
  })) {
    assert.equal((await ask({ 'x-user-id': key, ...headers })).status, 200);
  }
  await told(3);
  const rows = await known((all) => all['key long'].says && all['key control'].says);
  assert.equal(rows['key long'].agent, 'x'.repeat(64));
  assert.ok(rows['key long'].says.blocked.length <= 64);
  assert.equal(rows['key parens'].agent, undefined);
  assert.equal(rows['key control'].agent, 'a');
  assert.deepEqual(rows['key control'].says, { blocked: '\ufffd notime' });
});

test('a report has 64 KB at most, and 30,000 clients take no more memory than there is', async () => {
  await start();
  const keys = Array.from({ length: 30_000 }, (_, n) => `${n} ${'k'.repeat(200)}`);
  server.clients.refuse = 503;
  await each(keys);
  server.clients.refuse = undefined;
  await each(['last']);
  await eventually('all to be told or dropped', async () => {
    await ask({ 'x-user-id': 'last' });
    return server.clients.requests();
  }, (sum) => sum > 30_000);
  assert.ok(server.clients.longest <= 65_536, `${server.clients.longest}`);
  assert.ok(server.clients.dropped > 15_000, `${server.clients.dropped}`);
});

test('requests of clients beyond those that are remembered are told as dropped', () => {
  const engine = new Crossfade(module, { policy: base, clients: 'report' });
  const clients = new Clients();
  const more = 200;
  for (let n = 0; n < CLIENTS_MAX + more; n++) {
    const client = { key: `${n}`, identity: 'address', agent: 'curl/8.5' };
    clients.record(client, 0, { counted: false, failed: false, refused: true, atMs: 1e12 });
  }
  // What the engine knows of is told by it.
  engine.route('ann');
  clients.record({ key: 'ann', identity: 'key' }, 0, { counted: true, failed: true, atMs: 1e12 });
  assert.equal(clients.left, more + 1);
  assert.match(engine.handle(clients.take()), /note_clients_ok/);
  let told = { clients: 0, dropped: 0 };
  for (let acknowledged = 0; ; acknowledged++) {
    const report = JSON.parse(engine.handle(JSON.stringify({ type: 'take_clients', acknowledged })));
    if (report.clients.length === 0) break;
    told = { clients: told.clients + report.clients.length, dropped: told.dropped + (report.dropped ?? 0) };
  }
  assert.deepEqual(told, { clients: CLIENTS_MAX + 1, dropped: more });
  assert.equal(JSON.parse(clients.take()).dropped, 0, 'once');
});

test('software and declarations are read as the engine reads them', () => {
  const webkit = '(X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)';
  for (const [userAgent, expected] of Object.entries({
    'okhttp/4.12.0': 'okhttp/4.12.0',
    'curl/8.5.0 (x86_64) libcurl/8.5.0': 'curl/8.5.0',
    '(a (nested) comment) billing/2': 'billing/2',
    [`Mozilla/5.0 ${webkit} Chrome/120.0.0.0 Safari/537.36`]: 'Chrome/120.0.0.0',
    [`Mozilla/5.0 ${webkit} Chrome/120.0.0.0 Safari/537.36 Edg/120.0.1`]: 'Edg/120.0.1',
    [`Mozilla/5.0 ${webkit} Version/17.2 Mobile/15E148 Safari/604.1`]: 'Version/17.2',
    'Mozilla/5.0 (X11; rv:121.0) Gecko/20100101 Firefox/121.0': 'Firefox/121.0',
    'Mozilla/5.0 (compatible; Bot/1.0)': 'Mozilla/5.0',
    '': undefined,
  })) {
    assert.equal(product(userAgent), expected, userAgent);
  }
  assert.equal(declared(' Ready '), 'ready');
  assert.deepEqual(declared('BLOCKED'), { blocked: '' });
  assert.deepEqual(declared('blocked: a: b'), { blocked: 'a: b' });
  for (const nothing of ['', 'readyy', 'ready: or not', ':']) assert.equal(declared(nothing), undefined);
});
