// The Worker of the example in a real workerd, between a client and two real origins.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { path as wasm } from '../../edge/worker/test/engine.mjs';
import { get, origin, raw } from '../../edge/worker/test/servers.mjs';
import { serve } from '../../edge/worker/test/workerd.mjs';

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

// The example's own configuration, but for where its files and its origins are.
function start(origins) {
  const made = mkdtempSync(join(tmpdir(), 'crossfade-example-'));
  copyFileSync(here('worker.js'), join(made, 'worker.js'));
  copyFileSync(here('../../edge/worker/crossfade.js'), join(made, 'crossfade.js'));
  copyFileSync(wasm, join(made, 'crossfade.wasm'));
  let config = readFileSync(here('config.capnp'), 'utf8').replaceAll('../../edge/worker/', '');
  for (const [written, url] of Object.entries(origins)) {
    assert.ok(config.includes(`"${written}"`), written);
    config = config.replace(`"${written}"`, `"${url}"`);
  }
  writeFileSync(join(made, 'config.capnp'), config);
  return serve(made, 'config.capnp');
}

test('clients get their version, path and query arrive, and no other host is reached', async (t) => {
  const [v1, v2, other] = await Promise.all([origin('v1'), origin('v2'), origin('v9')]);
  const edge = await start({ 'http://127.0.0.1:8081': v1.url, 'http://127.0.0.1:8082': `${v2.url}/base` });
  t.after(() => Promise.all([edge, v1, v2, other].map((each) => each.stop())));
  const ask = async (key, path) => {
    const { json } = await get(edge.url + path, { 'x-user-id': key, 'x-api-version': 'v9' });
    return [json.version, json.headers['x-api-version'], json.url];
  };
  const host = `127.0.0.1:${other.port}`;
  for (const path of ['/', '/users?page=2&q=%2F', `//${host}/x?a`, `/x//${host}`, '/?//', '/a?b?c']) {
    assert.deepEqual(await ask('user123', path), ['v1', 'v1', path]);
    assert.deepEqual(await ask('user3', path), ['v2', 'v2', `/base${path}`]);
  }
  // What the client calls the host is part of the URL that a Worker sees.
  for (const [target, named] of [['/x', host], [`http://${host}/x`, host], ['/x', `${host}/@`], ['/x', `a?@${host}`], ['/', '']]) {
    await raw(edge.port, `GET ${target} HTTP/1.1\r\nHost: ${named}\r\nConnection: close\r\n\r\n`);
  }
  assert.deepEqual(other.seen, []);
});
