// The yardstick: a worker in plain JavaScript that does by hand what ours has an engine
// do, for one canary. It hashes the key, forwards to the version's origin with the header
// set, marks the old version's responses, and counts decisions, outcomes and latencies.

import { bucketOf } from './xxh64.js';

const CANARY_BUCKETS = 1000;
const DATES = [
  ['deprecation', '@1801353600'],
  ['sunset', 'Sat, 31 Jul 2027 00:00:00 GMT'],
];

const counts = { v1: { routed: 0, requests: 0, failures: 0 }, v2: { routed: 0, requests: 0, failures: 0 } };
const latencies = { v1: new Map(), v2: new Map() };

export default {
  async fetch(request, env) {
    const startedMs = Date.now();
    const key = request.headers.get('x-user-id');
    const version = key && bucketOf(key) < CANARY_BUCKETS ? 'v2' : 'v1';
    const count = counts[version];
    count.routed += 1;

    const forwarded = new Request(request.url, request);
    forwarded.headers.set('x-api-version', version);
    const origin = version === 'v2' ? env.ORIGIN_v2 : env.ORIGIN_v1;
    let response;
    try {
      response = await origin.fetch(forwarded);
    } catch {
      response = new Response('bad gateway\n', { status: 502 });
    }
    const latencyMs = Date.now() - startedMs;
    count.requests += 1;
    if (response.status >= 500) count.failures += 1;
    latencies[version].set(latencyMs, (latencies[version].get(latencyMs) ?? 0) + 1);

    if (version === 'v2') return response;
    const marked = new Response(response.body, response);
    for (const [name, value] of DATES) marked.headers.set(name, value);
    return marked;
  },
};
