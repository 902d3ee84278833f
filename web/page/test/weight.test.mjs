// What a visitor has to wait for: everything but fonts, compressed as a server would.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

const LIMIT_BYTES = 300_000;

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name !== '.gitignore')
  .map((entry) => join(entry.parentPath, entry.name));

test('the page is at most 300 KB without its fonts, as it is sent', (t) => {
  const sent = files.filter((file) => !/\.(br|woff2)$/.test(file));
  assert.ok(sent.some((file) => file.endsWith('.wasm')), 'dist holds a built page');
  const sizes = sent.map((file) => {
    assert.ok(existsSync(`${file}.br`), `${file} has no compressed twin`);
    return [file.slice(dist.length + 1), statSync(`${file}.br`).size];
  });
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  for (const [file, size] of sizes) t.diagnostic(`${size} bytes: ${file}`);
  t.diagnostic(`${total} bytes in all`);
  assert.ok(total <= LIMIT_BYTES, `${total} bytes: ${JSON.stringify(sizes)}`);
});

test('what is compressed is what lies beside it', () => {
  const twins = files.filter((file) => file.endsWith('.br'));
  assert.ok(twins.length >= 5, `${twins}`);
  for (const twin of twins) {
    const plain = readFileSync(twin.slice(0, -'.br'.length));
    assert.ok(plain.equals(brotliDecompressSync(readFileSync(twin))), twin);
  }
});
