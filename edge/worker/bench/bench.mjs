// What our worker costs beside plain JavaScript that does the same: CPU time of one
// workerd process per request, both workers in it, taking turns round by round.
//   node edge/worker/bench/bench.mjs [--rounds 20] [--requests 5000] [--check]
// Linux only: the CPU time is read from /proc. With --check it fails above the bar.

import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';

import { folder, serve } from '../test/workerd.mjs';

const BAR = 1.15;
const CONNECTIONS = 8;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    requests: { type: 'string', default: '5000' },
    check: { type: 'boolean', default: false },
  },
});
const [rounds, requests] = [Number(values.rounds), Number(values.requests)];

/** CPU time of all threads of a process, in microseconds. */
function cpuUs(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const ns = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
  return ns.reduce((sum, one) => sum + one, 0) / 1000;
}

/** Sends requests over a connection, one after the other, and counts the versions. */
function client(port, first, count, to) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const send = (at) => socket.write(`GET /users HTTP/1.1\r\nHost: api\r\nx-api-version: v2\r\nx-user-id: user-${first + at}\r\n\r\n`);
    let at = 0;
    let got = '';
    socket.setNoDelay().on('error', reject).on('connect', () => send(at)).on('data', (chunk) => {
      got += chunk.toString('latin1');
      const version = got.match(/\r\n\r\n(v[12])\n$/)?.[1];
      if (version === undefined) return;
      to[version] += 1;
      got = '';
      at += 1;
      if (at < count) send(at);
      else socket.end(resolve);
    });
  });
}

async function round(workerd, port, number) {
  const to = { v1: 0, v2: 0 };
  const before = cpuUs(workerd.pid);
  const each = Math.ceil(requests / CONNECTIONS);
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, n) => client(port, (number * CONNECTIONS + n) * each, each, to)));
  return { us: (cpuUs(workerd.pid) - before) / (each * CONNECTIONS), to };
}

const median = (of) => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)];

const workerd = await serve(folder(), 'bench/bench.capnp', ['ours', 'plain']);
let ratio;
try {
  const { ours, plain } = workerd.ports;
  const cost = { ours: [], plain: [] };
  for (let number = -2; number < rounds; number++) {
    // The two take turns in going first, too.
    const order = number % 2 === 0 ? ['ours', 'plain'] : ['plain', 'ours'];
    const got = {};
    for (const name of order) {
      got[name] = await round(workerd, name === 'ours' ? ours : plain, number + 2);
      if (number >= 0) cost[name].push(got[name].us);
    }
    if (JSON.stringify(got.ours.to) !== JSON.stringify(got.plain.to)) {
      throw new Error(`the two decide differently: ${JSON.stringify(got)}`);
    }
  }
  ratio = median(cost.ours.map((us, at) => us / cost.plain[at]));
  const shown = (name) => `${median(cost[name]).toFixed(1)} µs (least ${Math.min(...cost[name]).toFixed(1)})`;
  console.log(`${rounds} rounds of ${requests} requests each, CPU time of workerd per request, median`);
  console.log(`plain JavaScript  ${shown('plain')}`);
  console.log(`crossfade.wasm    ${shown('ours')}`);
  console.log(`ratio             ${ratio.toFixed(3)} (at most ${BAR}: ${ratio <= BAR ? 'holds' : 'missed'})`);
} finally {
  await workerd.stop();
}
if (values.check && !(ratio <= BAR)) process.exitCode = 1;
