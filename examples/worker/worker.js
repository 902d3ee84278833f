// A Worker that decides for every request which version of the API serves it, and goes
// there: to `env.v1` or `env.v2`, URLs without a slash at the end. edge/worker is the whole
// thing: live policies, reports, brownouts.

import module from './crossfade.wasm';
import { Crossfade } from './crossfade.js';

const policy = {
  api: 'users',
  versions: { from: 'v1', to: 'v2' },
  key: { header: 'x-user-id' },
  canary_percentage: 10,
};
let crossfade;

export default {
  async fetch(request, env) {
    // Not sooner: outside of a request a Worker has no randomness.
    crossfade ??= new Crossfade(module, { policy });
    const key = request.headers.get('x-user-id') ?? '';
    const { version, headers } = crossfade.decide(key === '' ? {} : { key });
    const told = new Request(request);
    // What a client sends in this header chooses nothing.
    told.headers.set('x-api-version', version);
    // Joined as text: in `new URL(path, origin)` a path such as //other.example names a host.
    const { pathname, search } = new URL(request.url);
    const answer = await fetch(env[version] + pathname + search, told);
    crossfade.handle(JSON.stringify({
      type: 'report_outcomes',
      outcomes: [{ version, ok: answer.status < 500, ...(key && { user_id: key }) }],
    }));
    const marked = new Response(answer.body, answer);
    for (const [name, value] of Object.entries(headers)) marked.headers.set(name, value);
    return marked;
  },
};
