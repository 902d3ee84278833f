// The conformance suite on the module in Node: cases on stdin, results on stdout, one
// line each. conformance.mjs describes both.
//   node edge/worker/test/conformance.node.mjs < cases > results

import { createInterface } from 'node:readline';

import { playLine } from './conformance.mjs';
import { module } from './engine.mjs';

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (line === '') continue;
  if (!process.stdout.write(`${playLine(module, line)}\n`)) {
    await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}
