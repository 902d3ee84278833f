// What README.md and crossfade.d.ts say of the class, and what config.capnp does.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { format } from 'node:util';

import * as crossfade from '../crossfade.js';
import { readSettings } from '../settings.js';
import { path } from './engine.mjs';
import { get } from './servers.mjs';
import { folder, serve } from './workerd.mjs';

const worker = new URL('../', import.meta.url);
const read = (file) => readFileSync(new URL(file, worker), 'utf8');

test('the example prints what its comments say', async (t) => {
  const [, example] = read('README.md').match(/```js\n([^]*?)```/);
  const expected = [...example.matchAll(/^\/\/ (\{.*)$/gm)].map(([, printed]) => printed);
  const printed = [];
  t.mock.method(console, 'log', (...values) => printed.push(format(...values).trimEnd()));
  const here = example
    .replace("'./edge/worker/crossfade.js'", `'${new URL('crossfade.js', worker)}'`)
    .replace("'edge/worker/crossfade.wasm'", JSON.stringify(path));
  await import(`data:text/javascript,${encodeURIComponent(here)}`);
  assert.equal(expected.length, 2);
  assert.deepEqual(printed, expected);
});

test('config.capnp runs as it is, and answers as README.md says', async () => {
  const edge = await serve(folder(), 'config.capnp');
  try {
    const ask = async (headers) => {
      const { body, headers: { sunset } } = await get(`${edge.url}/users`, headers);
      return [body, sunset !== undefined];
    };
    assert.deepEqual(await ask({ 'x-user-id': 'user123' }), ['v1, told v1\n', true]);
    assert.deepEqual(await ask({ 'x-user-id': 'qa-1' }), ['v2, told v2\n', false]);
    assert.deepEqual(await ask({ 'x-api-version': 'v2' }), ['v1, told v1\n', true]);
    const { counters, problems } = (await get(`${edge.url}/crossfade/status`)).json;
    assert.deepEqual([counters.requests, problems], [3, []]);
  } finally {
    await edge.stop();
  }
});

test('every binding that is read is in the table, and none else', () => {
  const named = new Set();
  const env = new Proxy({}, {
    get: (_, name) => void named.add(name),
    ownKeys: () => [],
  });
  readSettings(env);
  const [, table] = read('README.md').match(/## Bindings\n\n([^]*?)\n\n/);
  const rows = [...table.matchAll(/^\| `([A-Z_]+)/gm)].map(([, name]) => name);
  assert.deepEqual(rows.filter((name) => name !== 'ORIGIN_').sort(), [...named].sort());
});

test('the types name what the class has, and the class what the types name', () => {
  const types = read('crossfade.d.ts');
  const classes = ['Crossfade', 'CrossfadeInstance'];
  for (const name of classes) {
    const [, body] = types.match(new RegExp(`export class ${name} \\{([^]*?)\n\\}`));
    const typed = [...body.matchAll(/^ {2}(?:static |readonly )?(\w+)[(:]/gm)].map(([, member]) => member);
    const statics = Object.getOwnPropertyNames(crossfade[name]).filter((member) => !['length', 'name', 'prototype'].includes(member));
    const there = [...Object.getOwnPropertyNames(crossfade[name].prototype), ...statics];
    assert.deepEqual([...new Set(typed)].sort(), there.sort(), name);
  }
  const exported = [...types.matchAll(/^export (?:class|const|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(exported.sort(), Object.keys(crossfade).sort());
});
