// The worker, with a way to break its engine for good: GET /trap overwrites the memory of
// every instance there is, as a bug in the engine might.

import module from './crossfade.wasm';
import { Edge } from './edge.js';

const instances = [];
const { Instance } = WebAssembly;
WebAssembly.Instance = class extends Instance {
  constructor(...args) {
    super(...args);
    instances.push(this);
  }
};

let edge;

export default {
  fetch(request, env, ctx) {
    edge ??= new Edge(module, env);
    if (!request.url.endsWith('/trap')) return edge.fetch(request, ctx);
    for (const { exports } of instances) new Uint8Array(exports.memory.buffer).fill(0xff);
    return new Response(`${instances.length}\n`);
  },
};
