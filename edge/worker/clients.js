// Who a client is, and what the engine cannot see of its calls: their failures, the
// software they come from, and what the client says of itself. docs/protocol.md, "Clients".

import { attributeLookup } from './lookup.js';

// What is looked at of a header that a client may make as long as it likes.
const HEADER_CHARS_MAX = 1024;
const AGENT_CHARS_MAX = 64;
const REASON_CHARS_MAX = 64;

// Clients between two hand-overs. Of more the engine hears how many requests there were.
export const CLIENTS_MAX = 1000;

const seconds = (ms) => Math.floor(ms / 1000);

/** The software in a `user-agent`, as `name/version`: as the engine's `product` finds it. */
export function product(userAgent) {
  let depth = 0;
  let found;
  let browser = false;
  let named = false;
  for (const [word] of userAgent.slice(0, HEADER_CHARS_MAX).matchAll(/[()]|[\w!#$%&'*+.^`|~-][\w!#$%&'*+.^`|~/-]*/g)) {
    if (word === '(') depth += 1;
    else if (word === ')') depth = Math.max(0, depth - 1);
    else if (depth > 0) continue;
    else if (found === undefined) {
      found = word;
      browser = word.startsWith('Mozilla/');
      if (!browser) break;
    } else {
      const name = word.split('/', 1)[0];
      if (['AppleWebKit', 'Gecko', 'Mobile'].includes(name) || (name === 'Safari' && named)) continue;
      named = ['Chrome', 'Version', 'CriOS', 'FxiOS', 'HeadlessChrome'].includes(name);
      found = word;
    }
  }
  return found?.slice(0, AGENT_CHARS_MAX);
}

/** What a client declares: `ready`, or `blocked` with a reason after a colon. */
export function declared(header) {
  const text = header.slice(0, HEADER_CHARS_MAX);
  const colon = text.indexOf(':');
  const word = (colon < 0 ? text : text.slice(0, colon)).trim().toLowerCase();
  if (word === 'ready' && colon < 0) return 'ready';
  if (word !== 'blocked') return undefined;
  const reason = colon < 0 ? '' : text.slice(colon + 1).trim();
  return { blocked: reason.replace(/[\u0000-\u001f\u007f-\u009f]/g, '').slice(0, REASON_CHARS_MAX) };
}

/**
 * A function from a request and its routing key to who made it: `{key, identity, agent,
 * says}`, or undefined for nobody. Without a `clients` section it is the key alone.
 */
export function clientLookup({ clients }, addressHeader) {
  if (clients === undefined) return (_, key) => key && { key, identity: 'key' };
  const rungs = (clients.identity ?? []).map((source) => rung(source, addressHeader)).filter(Boolean);
  const declares = clients.declare?.header;
  return (request, routingKey) => {
    const { headers } = request;
    const userAgent = headers.get('user-agent');
    const agent = userAgent === null ? undefined : product(userAgent);
    let [key, identity] = [routingKey, 'key'];
    for (let place = 0; key === undefined && place < rungs.length; place++) {
      key = rungs[place].find(request, agent);
      ({ identity } = rungs[place]);
    }
    if (key === undefined) return undefined;
    const header = declares === undefined ? null : headers.get(declares);
    return { key, identity, agent, says: header === null ? undefined : declared(header) };
  };
}

function rung(source, addressHeader) {
  if (source.header !== undefined) {
    const look = attributeLookup(source);
    return { identity: 'api_key', find: ({ headers }) => look(headers) };
  }
  if (source === 'mtls') {
    return {
      identity: 'mtls',
      find: ({ cf }) => {
        const shown = cf?.tlsClientAuth;
        return (shown?.certVerified === 'SUCCESS' && shown.certSubjectDN) || undefined;
      },
    };
  }
  if (source === 'address') {
    return {
      identity: 'address',
      find: ({ headers }, agent) => {
        const address = headers.get(addressHeader);
        return address ? [address, agent].filter(Boolean).join(' ') : undefined;
      },
    };
  }
  // A token is somebody else's to check; who does may put the claim in a header.
  return undefined;
}

/** What is known of calls since the last hand-over. */
export class Clients {
  #rows = new Map();
  #left = 0;
  // Of those since the last hand-over, the ones that the engine has not counted either.
  #dropped = 0;

  /** Whether there is anything to hand over. */
  get size() {
    return this.#rows.size;
  }

  /** Calls that were not remembered. */
  get left() {
    return this.#left;
  }

  /**
   * A call to the version at this place. The engine has counted it already, and whether it
   * was refused, where it was asked with the client's key.
   */
  record(client, place, { counted, failed, refused = false, atMs }) {
    const { key, identity, agent, says } = client;
    if (counted && !failed && agent === undefined && says === undefined) return;
    const name = `${identity} ${key}`;
    let row = this.#rows.get(name);
    if (row === undefined) {
      if (this.#rows.size >= CLIENTS_MAX) {
        this.#left += 1;
        this.#dropped += Number(!counted);
        return;
      }
      this.#rows.set(name, (row = { key, identity, on: place, counts: [] }));
    }
    Object.assign(row, agent !== undefined && { agent }, says !== undefined && { says }, { on: place });
    if (refused && !counted) row.refused = (row.refused ?? 0) + 1;
    if (counted && !failed) return;
    const at = seconds(atMs);
    let count = row.counts.find(([version]) => version === place);
    if (count === undefined) row.counts.push((count = [place, 0, 0, at, at]));
    if (!counted) count[1] += 1;
    if (failed) count[2] += 1;
    count[4] = Math.max(count[4], at);
  }

  /** The `note_clients` message. Begins anew. */
  take() {
    const clients = [...this.#rows.values()];
    const dropped = this.#dropped;
    this.#rows.clear();
    this.#dropped = 0;
    return JSON.stringify({ type: 'note_clients', msg_id: 0, clients, dropped });
  }
}
