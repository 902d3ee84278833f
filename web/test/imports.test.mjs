// What the module asks of the page: conversions of values, and nothing that would make
// the engine less than a function of its arguments.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { bytes } from './engine.mjs';

const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes));
const glue = readFileSync(new URL('../pkg/crossfade_web.js', import.meta.url), 'utf8');

// One name may stand for several: `new` is Array, Error, Map and Object.
const ALLOWED = [
  '__wbg_Error',
  '__wbg_String',
  '__wbg___wbindgen_is_string',
  '__wbg___wbindgen_throw',
  '__wbg_new',
  '__wbg_set',
  '__wbindgen_generic',
  '__wbindgen_init_externref_table',
];

test('every import is one of the generated conversions', () => {
  for (const { module, name, kind } of imports) {
    assert.equal(module, './crossfade_web_bg.js');
    assert.equal(kind, 'function');
    // Names end in a hash of their definition.
    assert.ok(ALLOWED.includes(name.replace(/_[0-9a-f]{16}$/, '')), `${name} is new: why?`);
  }
});

test('no import gives a clock, chance, the network or the console', () => {
  const functions = glue.match(/function __wbg_get_imports\(\) \{[^]*?\n\}/)[0];
  for (const { name } of imports) {
    assert.ok(functions.includes(name), `${name} is defined where this test looks`);
  }
  assert.doesNotMatch(functions, /Date|performance|random|crypto|fetch|XMLHttp|console|setTimeout/);
});
