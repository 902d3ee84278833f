// The conformance suite on the module in a workerd of its own: cases on stdin, results on
// stdout, one line each, as of conformance.node.mjs.
//   node edge/worker/test/conformance.workerd.mjs < cases > results

import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';

import { folder, serve } from './workerd.mjs';

const workerd = await serve(folder(), 'test/conformance.capnp');
try {
  const answer = await fetch(workerd.url, { method: 'POST', body: await text(process.stdin) });
  if (!answer.ok) throw new Error(`workerd answered ${answer.status}: ${workerd.log()}`);
  await pipeline(Readable.fromWeb(answer.body), process.stdout);
} finally {
  await workerd.stop();
}
