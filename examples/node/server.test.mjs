// The server of the example, between a client and two real origins.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import test from 'node:test';

import { serve } from './server.mjs';

async function origin(version) {
  const server = createServer((incoming, outgoing) => {
    outgoing.writeHead(incoming.url === '/broken' ? 500 : 200);
    outgoing.end(`${version} told ${incoming.headers['x-api-version']}${incoming.url === '/users' ? '' : ` of ${incoming.url}`}`);
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

// The first line as it is, which `fetch` would not send; gives the status and the body.
function askRaw(server, line) {
  return new Promise((resolve, reject) => {
    let got = '';
    const socket = connect(server.address().port, '127.0.0.1', () => {
      socket.write(`${line}\r\nHost: a\r\nConnection: close\r\n\r\n`);
    });
    socket.setEncoding('latin1').on('data', (text) => { got += text; }).on('error', reject);
    socket.on('close', () => resolve([Number(got.slice(9, 12)), got.match(/v\d told.*$/m)?.[0]]));
  });
}

test('a client reaches the versions and no other host', async (t) => {
  const [v1, other] = [await origin('v1'), await origin('v9')];
  let others = 0;
  other.on('request', () => { others += 1; });
  const { server } = await serve({ v1: url(v1), v2: url(v1) }, 0);
  t.after(() => { for (const each of [v1, other, server]) { each.closeAllConnections(); each.close(); } });
  const host = `127.0.0.1:${other.address().port}`;
  for (const path of [`//${host}/x`, `/\\${host}/x`, '//:99999/', '/x?a=//b', '/%2e%2e/../y', '/#z']) {
    assert.deepEqual(await askRaw(server, `GET ${path} HTTP/1.1`), [200, `v1 told v1 of ${path}`]);
  }
  for (const target of [`http://${host}/x`, `HTTP://${host}`, '*']) {
    assert.equal((await askRaw(server, `OPTIONS ${target} HTTP/1.1`))[0], 400, target);
  }
  assert.equal(others, 0);
});
