// What a visitor has to wait for: everything but fonts, compressed as a server would.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

const LIMIT_BYTES = 300_000;

test('the page is at most 300 KB without its fonts', () => {
  const dist = fileURLToPath(new URL('../dist', import.meta.url));
  const files = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.woff2?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  assert.ok(files.some((file) => file.endsWith('.wasm')), 'dist holds a built page');
  const sizes = files.map((file) => [file, brotliCompressSync(readFileSync(file)).length]);
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(total <= LIMIT_BYTES, `${total} bytes: ${JSON.stringify(sizes)}`);
});
