// The conformance suite on the module in workerd: POST cases, get results, one line
// each. conformance.mjs describes both, conformance.capnp starts it.

import { playLine } from './conformance.mjs';
import module from './crossfade.wasm';

export default {
  async fetch(request) {
    const cases = (await request.text()).split('\n').filter(Boolean);
    return new Response(cases.map((line) => `${playLine(module, line)}\n`).join(''));
  },
};
