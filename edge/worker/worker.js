// The Cloudflare Worker: one Edge per isolate, around the compiled module.

import module from './crossfade.wasm';
import { Edge } from './edge.js';

let edge;

export default {
  fetch(request, env, ctx) {
    // Not before the first request: chance and time are to be had only then.
    edge ??= new Edge(module, env);
    return edge.fetch(request, ctx);
  },
};
