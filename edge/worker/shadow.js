// The shadow: what the old version has answered the newest is asked as well, and the two
// answers are compared. The client waits for neither. docs/protocol.md, "The shadow".

import { Crossfade } from './crossfade.js';

/** Marks a request that is mirrored: whoever gets it knows that nobody waits. Removed from what comes in. */
export const MARK = 'x-crossfade-shadow';

// Requests under way at once, of one isolate. What comes meanwhile is counted and left.
const AT_ONCE_MAX = 16;

// Between two lines in the log that say how answers differed.
const TELL_MS = 1000;

// Of one connection (RFC 9110, 7.6.1), or about a body that is not sent.
const LEFT = [
  'connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te',
  'trailer', 'transfer-encoding', 'upgrade', 'expect', 'content-length', 'http2-settings',
];

const EMERGENCY = new Set(['kill_switch', 'guard']);

const nothing = () => ({ compared: 0, differed: 0, failures: 0, dropped: 0 });
const isFailure = (status) => status >= 500 && status <= 599;
const mediaOf = ({ headers }) => headers.get('content-type')?.split(';', 1)[0].trim().toLowerCase() || undefined;
const shown = ({ status }, media) => [status, media].filter(Boolean).join(' ');

/** What a plan asks for: undefined, or whom it mirrors and how. `config` is the engine's. */
export function shadowOf(module, { api, versions: { from, to }, salt = '', shadow, privacy }, versions) {
  if (shadow === undefined || shadow.stopped) return undefined;
  const newest = to ?? versions.at(-1);
  // Whom a canary under the shadow's own salt would have: the engine knows.
  const plan = {
    api,
    versions: [from ?? versions[0], newest],
    key: { address: true },
    salt: `${salt}/shadow`,
    canary_percentage: shadow.percentage,
  };
  const engine = new Crossfade(module, { policy: plan, seed: 0 });
  return {
    newest,
    methods: new Set(shadow.methods),
    comparesMedia: shadow.content_type ?? true,
    tellsPaths: privacy !== 'hashed',
    chooses: (key) => (key === undefined
      ? Math.random() * 100 < shadow.percentage
      : engine.decide({ key, count: false }).version === newest),
  };
}

/** What one isolate has under way, and what came of it. */
export class Shadow {
  #atOnce = 0;
  #seen = nothing();
  #tellFromMs = 0;
  /** Since the isolate began. */
  counters = nothing();

  /** Whether anything came since the last time. */
  get size() {
    return this.#seen.compared + this.#seen.dropped;
  }

  /** The `report_shadow` message. Begins anew. */
  take() {
    const seen = this.#seen;
    this.#seen = nothing();
    return JSON.stringify({ type: 'report_shadow', msg_id: 0, ...seen });
  }

  /**
   * What is left to do for a request that the old version has answered: a function that
   * sends it to `origin` and compares, or undefined where it is not mirrored. `isStill`
   * says whether what comes of it counts by then.
   */
  of(shade, { request, key, routed, response, origin, versionHeader, timeoutMs, isStill }) {
    const { method, headers, url, body } = request;
    if (routed?.reason === undefined || routed.version === shade.newest || EMERGENCY.has(routed.reason)) return undefined;
    if (!shade.methods.has(method) || body !== null || headers.has('upgrade') || headers.has(MARK)) return undefined;
    const media = mediaOf(response);
    if (isFailure(response.status) || media === 'text/event-stream' || !shade.chooses(key)) return undefined;
    if (this.#atOnce >= AT_ONCE_MAX) {
      this.#count({ dropped: 1 });
      return undefined;
    }
    const mirrored = new Headers(headers);
    for (const name of LEFT) mirrored.delete(name);
    mirrored.set(versionHeader, shade.newest);
    mirrored.set(MARK, '1');
    const { status } = response;
    this.#atOnce += 1;
    return async () => {
      let told = 'no answer';
      const seen = { compared: 1, differed: 1, failures: 1 };
      try {
        const signal = AbortSignal.timeout(timeoutMs);
        const answer = await origin.fetch(new Request(origin.url(url), { method, headers: mirrored, redirect: 'manual', signal }));
        // Nobody gets it, and nobody reads it.
        answer.body?.cancel().catch(() => {});
        told = shown(answer, mediaOf(answer));
        if (!isFailure(answer.status)) Object.assign(seen, { differed: Number(differs(shade, { status, media }, answer)), failures: 0 });
      } catch (error) {
        told = `no answer (${error.message})`;
      } finally {
        this.#atOnce -= 1;
      }
      if (!isStill()) return;
      this.#count(seen);
      if (seen.differed > 0) this.#tell(shade, { method, url }, `${shown({ status }, media)} by ${routed.version}, ${told} by ${shade.newest}`);
    };
  }

  #count(seen) {
    for (const [what, count] of Object.entries(seen)) {
      this.#seen[what] += count;
      this.counters[what] += count;
    }
  }

  // Now and then, for all may differ. Queries are left out.
  #tell(shade, { method, url }, how) {
    const nowMs = Date.now();
    if (nowMs < this.#tellFromMs) return;
    this.#tellFromMs = nowMs + TELL_MS;
    const what = shade.tellsPaths ? `${method} ${new URL(url).pathname}` : method;
    console.warn(`crossfade: shadow: ${what}: ${how}`);
  }
}

// That nothing was modified says that the rest is as before.
function differs(shade, old, answer) {
  const plain = ({ status }) => (status === 304 ? 200 : status);
  const unmodified = old.status === 304 || answer.status === 304;
  return plain(old) !== plain(answer) || (!unmodified && shade.comparesMedia && old.media !== mediaOf(answer));
}
