// Real servers for the worker's tests: origins, a control server, and clients that send
// what they like.

import { createServer, request as httpRequest, Agent } from 'node:http';
import { connect } from 'node:net';

const agent = new Agent({ keepAlive: true, maxSockets: 50 });

async function listening(server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  const stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { server, port, url: `http://127.0.0.1:${port}`, stop };
}

/** An origin that answers what it was asked, as JSON, or what `serve` does. */
export function origin(version, serve) {
  const seen = [];
  const answer = async (request, response) => {
    let length = 0;
    for await (const chunk of request) length += chunk.length;
    const { method, url, headers, rawHeaders } = request;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ version, method, url, headers, rawHeaders, length }));
  };
  const server = createServer({ maxHeaderSize: 1 << 18 }, (request, response) => {
    seen.push(request.headers['x-user-id']);
    return (serve ?? answer)(request, response);
  });
  return listening(server).then((running) => ({ ...running, seen }));
}

/**
 * What a control server makes of reports of clients: of each node and epoch the highest
 * number counts. `lie` is a status that it answers with although it takes what comes,
 * `refuse` one with which it takes nothing.
 */
export function collector() {
  const highest = new Map();
  const state = { lie: undefined, refuse: undefined, rows: new Map(), taken: 0, repeated: 0, refused: 0, dropped: 0, longest: 0 };
  state.take = (body) => {
    state.longest = Math.max(state.longest, Buffer.byteLength(body.trimEnd()));
    const report = JSON.parse(body);
    if (state.refuse) {
      state.refused += 1;
      return state.refuse;
    }
    const source = `${report.node} ${report.epoch}`;
    if (report.sequence <= (highest.get(source) ?? 0)) {
      state.repeated += 1;
      return state.lie ?? 200;
    }
    highest.set(source, report.sequence);
    state.taken += 1;
    state.dropped += report.dropped ?? 0;
    for (const { key, identity = 'key', on, counts, refused = 0, agent, says } of report.clients) {
      const name = `${identity} ${key}`;
      const row = state.rows.get(name) ?? { requests: {}, failures: 0, refused: 0 };
      state.rows.set(name, row);
      for (const [place, requests, failures] of counts) {
        const version = report.versions[place];
        row.requests[version] = (row.requests[version] ?? 0) + requests;
        row.failures += failures;
      }
      row.refused += refused;
      row.on = report.versions[on];
      if (agent !== undefined) row.agent = agent;
      if (says !== undefined) row.says = says;
    }
    return state.lie ?? 200;
  };
  state.requests = () => [...state.rows.values()]
    .flatMap(({ requests }) => Object.values(requests)).reduce((sum, n) => sum + n, state.dropped);
  return state;
}

/** A control server. What it gives is `policy`; what it was given is `reports`. */
export async function control() {
  const state = { policy: undefined, answer: undefined, asked: [], reports: [], tokens: [], clients: collector() };
  const server = createServer(async (request, response) => {
    let body = '';
    try {
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
    } catch {
      return undefined; // A worker that was stopped in the middle of it.
    }
    state.tokens.push(request.headers.authorization);
    if (request.method === 'POST' && request.url === '/v1/totals') {
      const lines = body.trimEnd().split('\n').map((line) => JSON.parse(line));
      if (state.refuse) {
        return response.writeHead(400).end(lines.map(() => '{"type":"error","code":12,"text":"no"}\n').join(''));
      }
      state.reports.push(...lines);
      return response.end(lines.map(() => '{"type":"merge_ok","new":true,"sources":1}\n').join(''));
    }
    if (request.method === 'POST' && request.url === '/v1/client-reports') {
      return response.writeHead(state.clients.take(body)).end('{"type":"report_clients_ok"}\n');
    }
    if (request.method !== 'GET' || request.url !== '/v1/policy') return response.writeHead(404).end();
    state.asked.push(request.headers['if-none-match']);
    if (state.answer) return state.answer(request, response);
    if (!state.policy) return response.writeHead(503).end();
    const etag = `"${state.policy.revision}"`;
    if (request.headers['if-none-match'] === etag) return response.writeHead(304, { etag }).end();
    response.writeHead(200, { etag, 'content-type': 'application/json' });
    return response.end(JSON.stringify(state.policy));
  });
  return Object.assign(state, await listening(server));
}

/** One request; `{status, headers, body, json}`. */
export function get(url, headers = {}, options = {}, body = undefined) {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { agent, headers, ...options }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('end', () => {
        const bytes = Buffer.concat(chunks);
        const { statusCode: status, headers: got, rawHeaders } = response;
        resolve({ status, headers: got, rawHeaders, bytes, body: bytes.toString(), get json() { return JSON.parse(bytes); } });
      });
    });
    request.on('error', reject).end(body);
  });
}

/** Many requests, a few at a time, in order of their arguments. */
export async function getAll(items, each, atOnce = 32) {
  const results = new Array(items.length);
  let next = 0;
  const work = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await each(items[at]);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

/** Sends bytes as they are, and gives all that comes back until the other side closes. */
export function raw(port, bytes) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

/** Asks until `found` holds, and gives what was found; an error when time is over. */
export async function eventually(what, ask, found, withinMs = 10_000) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const got = await ask();
    if (found(got)) return got;
    if (Date.now() > deadline) throw new Error(`${what}: ${JSON.stringify(got)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
