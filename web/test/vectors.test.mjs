// The truth, on this build of the engine: every vector, byte for byte.

import assert from 'node:assert/strict';
import test from 'node:test';

import { Engine } from './engine.mjs';
import { play, playGolden, vectorFiles, written } from './vectors.mjs';

const files = vectorFiles();

for (const { file, cases, buckets } of files) {
  for (const { name, fields } of cases) {
    test(`${file}: ${name}`, () => play(Engine, fields));
  }
  if (buckets.length > 0) {
    test(`${file}: every key falls in its golden bucket`, () => buckets.forEach((golden) => playGolden(Engine, golden)));
  }
}

test('there are vectors', () => {
  assert.ok(files.some(({ cases }) => cases.length > 0));
  assert.ok(files.some(({ buckets }) => buckets.length > 100));
});

test('a case that expects something else is noticed', () => {
  const wrong = [
    '{"exchange": [{"send": "no json", "expect": null}]}',
    '{"exchange": [{"tick": true, "expect": {"type": "surprise"}}]}',
    '{"exchange": [{"send": " ", "expect": {"type": "error"}}]}',
    '{"exchange": [{"route": "user123", "expect": {"index": 1, "version": "v2", "canary": true, "reason": "canary"}}]}',
    '{"says": {"type": "error"}}',
    '{"exchange": [{"send": " "}]}',
  ];
  for (const text of wrong) {
    assert.throws(() => play(Engine, written(text).fields), assert.AssertionError, text);
  }
  assert.throws(() => playGolden(Engine, { key: 'user123', salt: '', bucket: 4496 }), assert.AssertionError);
  assert.throws(() => playGolden(Engine, { key: 'user123', salt: '', bucket: 4498 }), assert.AssertionError);
});

test('values keep the text they were written as', () => {
  const text = '{"b":1.0,"10":[],"a":{"é\\"":18446744073709551616},"1":[1e400,"x y",null]}';
  // JSON.parse itself turns 1e400 into Infinity, which is no error.
  assert.equal(written(text.replaceAll(',', ' ,\n ').replaceAll(':', ' : ')).text, text);
});
