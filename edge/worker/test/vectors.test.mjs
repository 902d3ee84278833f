// The truth, on the portable module through the class: every vector, byte for byte.

import assert from 'node:assert/strict';
import test from 'node:test';

import { play, playGolden, vectorFiles, written } from '../../../web/test/vectors.mjs';
import { Engine } from './engine.mjs';

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
  const wrong = '{"exchange": [{"route": "user123", "expect": {"index": 1, "version": "v2", "canary": true, "reason": "canary"}}]}';
  assert.throws(() => play(Engine, written(wrong).fields), assert.AssertionError);
  assert.throws(() => playGolden(Engine, { key: 'user123', salt: '', bucket: 4496 }), assert.AssertionError);
});
