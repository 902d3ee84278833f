// An HTTP server in front of two versions of an API: the engine decides who gets which.
//   node examples/node/server.mjs     after `cargo xtask edge`, which builds the module

import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';

import { Crossfade } from '../../edge/worker/crossfade.js';

const policy = {
  api: 'users',
  versions: { from: 'v1', to: 'v2' },
  key: { header: 'x-user-id' },
  canary_percentage: 10,
};

/** Serves until it is closed; `origins` has for each version a URL without a path. */
export async function serve(origins, port, host = '127.0.0.1') {
  const wasm = readFileSync(new URL('../../edge/worker/crossfade.wasm', import.meta.url));
  const crossfade = await Crossfade.load(wasm, { policy });
  const server = createServer((incoming, outgoing) => {
    // Not for a proxy's requests, which name another host.
    if (!incoming.url.startsWith('/')) return outgoing.writeHead(400).end();
    const key = incoming.headers['x-user-id'] ?? '';
    const { version, headers } = crossfade.decide(key === '' ? {} : { key });
    const done = (status) => {
      const outcome = { version, ok: status < 500, ...(key && { user_id: key }) };
      crossfade.handle(JSON.stringify({ type: 'report_outcomes', outcomes: [outcome] }));
    };
    // What a client sends in this header chooses nothing.
    const told = { ...incoming.headers, 'x-api-version': version };
    // As it came: in `new URL(path, origin)` a path such as //other.example names a host.
    const { method, url: path } = incoming;
    const asked = request(origins[version], { method, path, headers: told });
    asked.on('response', (answer) => {
      done(answer.statusCode);
      outgoing.writeHead(answer.statusCode, { ...answer.headers, ...headers });
      answer.pipe(outgoing);
    });
    asked.on('error', () => { done(502); outgoing.writeHead(502).end(); });
    return incoming.pipe(asked);
  });
  await new Promise((resolve) => { server.listen(port, host, resolve); });
  return { server, crossfade };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [v1 = 'http://127.0.0.1:8081', v2 = 'http://127.0.0.1:8082'] = process.argv.slice(2);
  await serve({ v1, v2 }, 8080);
}
