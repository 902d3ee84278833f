// The server of the example, between a client and two real origins.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import test from 'node:test';

import { serve } from './server.mjs';

async function origin(version) {
  const server = createServer((incoming, outgoing) => {
    outgoing.writeHead(incoming.url === '/broken' ? 500 : 200);
    outgoing.end(`${version} told ${incoming.headers['x-api-version']}`);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}

const url = (server) => `http://127.0.0.1:${server.address().port}`;

test('clients get their version, and outcomes are counted', async (t) => {
  const [v1, v2] = [await origin('v1'), await origin('v2')];
  const { server, crossfade } = await serve({ v1: url(v1), v2: url(v2) }, 0);
  t.after(() => { for (const each of [v1, v2, server]) { each.closeAllConnections(); each.close(); } });
  const ask = async (key, path = '/users') => {
    const headers = { 'x-api-version': 'v9', ...(key && { 'x-user-id': key }) };
    const answer = await fetch(`${url(server)}${path}`, { headers });
    return [answer.status, await answer.text()];
  };
  assert.deepEqual(await ask('user123'), [200, 'v1 told v1']);
  assert.deepEqual(await ask('user3'), [200, 'v2 told v2']);
  assert.deepEqual(await ask(''), [200, 'v1 told v1']);
  assert.deepEqual((await ask('user3', '/broken'))[0], 500);
  const { outcomes } = JSON.parse(crossfade.handle('{"type":"get_migration_stats"}'));
  assert.deepEqual(outcomes, { v1: { requests: 2, failures: 0 }, v2: { requests: 2, failures: 1 } });
});

test('an origin that is gone is a 502', async (t) => {
  const gone = await origin('v1');
  const address = url(gone);
  gone.close();
  const { server } = await serve({ v1: address, v2: address }, 0);
  t.after(() => { server.closeAllConnections(); server.close(); });
  assert.equal((await fetch(url(server))).status, 502);
});
