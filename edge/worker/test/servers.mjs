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

/** A control server. What it gives is `policy`; what it was given is `reports`. */
export async function control() {
  const state = { policy: undefined, answer: undefined, asked: [], reports: [], tokens: [] };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    state.tokens.push(request.headers.authorization);
    if (request.method === 'POST' && request.url === '/v1/totals') {
      const lines = body.trimEnd().split('\n').map((line) => JSON.parse(line));
      if (state.refuse) {
        return response.writeHead(400).end(lines.map(() => '{"type":"error","code":12,"text":"no"}\n').join(''));
      }
      state.reports.push(...lines);
      return response.end(lines.map(() => '{"type":"merge_ok","new":true,"sources":1}\n').join(''));
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
