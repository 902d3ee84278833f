// The same cases on the module in Node and in workerd: the same bytes. That these are
// the right bytes, `cargo xtask conformance` shows beside the other builds.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { plain, vectorFiles } from '../../../web/test/vectors.mjs';
import { folder, serve } from './workerd.mjs';

// What a `send` stands for; see tests/vectors/README.md.
function sent(node) {
  if (node.items) return node.items.map(sent).join('\n');
  return node.text.startsWith('"') ? plain(node) : node.text;
}

function steps(exchange) {
  return (exchange?.items ?? []).map(({ fields }) => {
    const step = { now_ms: plain(fields.now_ms), repeat: plain(fields.repeat) };
    if (fields.send) step.handle = sent(fields.send);
    else if (fields.send_hex) step.handle_hex = plain(fields.send_hex);
    else if (fields.route) step.route = { key: plain(fields.route), draw: plain(fields.draw) };
    else if (fields.tick) step.tick = true;
    else step.reload = true;
    return step;
  }).concat({ totals: true });
}

const cases = vectorFiles().flatMap((file) => file.cases).map(({ name, fields }) => ({
  name, init: fields.init?.text, seed: plain(fields.seed), steps: steps(fields.exchange),
}));
const lines = cases.map((one) => `${JSON.stringify(one)}\n`).join('');

async function inNode() {
  const child = spawn(process.execPath, [fileURLToPath(new URL('conformance.node.mjs', import.meta.url))]);
  child.stderr.pipe(process.stderr);
  child.stdin.end(lines);
  let out = '';
  for await (const text of child.stdout.setEncoding('utf8')) out += text;
  return out;
}

test('workerd and Node give the same bytes in every vector', async () => {
  const workerd = await serve(folder(), 'test/conformance.capnp');
  try {
    const [here, there] = await Promise.all([
      inNode(),
      fetch(workerd.url, { method: 'POST', body: lines }).then((response) => response.text()),
    ]);
    const [node, worker] = [here, there].map((text) => text.trimEnd().split('\n'));
    assert.equal(node.length, cases.length, here.slice(-1000));
    assert.equal(worker.length, cases.length, there.slice(0, 1000));
    cases.forEach(({ name, steps: { length } }, at) => {
      assert.equal(worker[at], node[at], name);
      const { answers, snapshot, trap } = JSON.parse(node[at]);
      assert.equal(trap, undefined, name);
      assert.equal(answers.length, length + 1, name);
      assert.match(snapshot, /^[0-9a-f]+$/, name);
    });
  } finally {
    await workerd.stop();
  }
});

test('what a step says is what the protocol says', async () => {
  const { name } = cases[0];
  assert.ok(name);
  const { playLine } = await import('./conformance.mjs');
  const { module } = await import('./engine.mjs');
  const one = { steps: [
    { handle: '{"type":"get_users","msg_id":1,"user_id":"user123"}' },
    { route: { key: 'user123' } },
    { handle_hex: 'ff0a' },
    { tick: true },
    { reload: true },
    { merge: 'x' },
  ] };
  const { answers } = JSON.parse(playLine(module, JSON.stringify(one)));
  assert.deepEqual(answers, [
    '',
    '{"type":"users_response","in_reply_to":1,"version":"v1"}\n',
    String(9 << 17),
    '{"type":"error","code":12,"text":"line 2: not UTF-8 at column 1"}\n',
    '',
    '',
    answers[6],
  ]);
  assert.match(answers[6], /not totals/);
});
