// The example of web/README.md runs and prints what it says.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { format } from 'node:util';

const web = new URL('../', import.meta.url);

test('the example prints what its comments say', async (t) => {
  const [, example] = readFileSync(new URL('README.md', web), 'utf8').match(/```js\n([^]*?)```/);
  const expected = [...example.matchAll(/^\/\/ (\{.*)$/gm)].map(([, printed]) => printed);
  const printed = [];
  t.mock.method(console, 'log', (...values) => printed.push(format(...values).trimEnd()));
  const here = example
    .replaceAll("'./pkg/", `'${web}pkg/`)
    .replaceAll("'web/pkg/crossfade_web_bg.wasm'", `new URL('${web}pkg/crossfade_web_bg.wasm')`);
  await import(`data:text/javascript,${encodeURIComponent(here)}`);
  assert.equal(expected.length, 2);
  assert.deepEqual(printed, expected);
});
