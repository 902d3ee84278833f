// The yardstick of the benchmark measures the same work: it decides as the engine does.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { bucketOf } from '../bench/xxh64.js';
import { Crossfade } from '../crossfade.js';
import { module } from './engine.mjs';

test('10,000 keys of every length fall in the engine\'s buckets', () => {
  const policy = { api: 'users', versions: ['v1', 'v2'], key: { header: 'x-user-id' }, canary_percentage: 10 };
  const crossfade = new Crossfade(module, { policy });
  assert.equal(bucketOf('user123'), 4497);
  for (let n = 0; n < 10_000; n++) {
    const key = `${n}`.repeat(1 + (n % 40)) + (n % 7 === 0 ? 'é日' : '');
    assert.equal(bucketOf(key), crossfade.decide({ key }).bucket, key);
  }
});

test('the benchmark runs, and both workers send every user to the same version', () => {
  const bench = fileURLToPath(new URL('../bench/bench.mjs', import.meta.url));
  const printed = execFileSync(process.execPath, [bench, '--rounds', '2', '--requests', '400'], { encoding: 'utf8' });
  assert.match(printed, /^ratio +\d+\.\d{3} \(at most 1\.15: (holds|missed)\)$/m);
});
