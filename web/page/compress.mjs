// Writes each built file once more, compressed as well as can be: `crossfade ui` sends
// that, and so does any server that looks for `.br` beside a file. Fonts are compressed
// already.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

const dist = fileURLToPath(new URL('dist', import.meta.url));
for (const found of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!found.isFile() || !/\.(js|css|wasm|svg|html)$/.test(found.name)) continue;
  const file = join(found.parentPath, found.name);
  writeFileSync(`${file}.br`, brotliCompressSync(readFileSync(file)));
}
