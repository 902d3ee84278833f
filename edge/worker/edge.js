// One edge node: decides for each request, forwards it, counts how it ended, and keeps
// in step with a control server. What fails here never fails a request.

import { clientLookup, Clients } from './clients.js';
import { Control } from './control.js';
import { Crossfade, CrossfadeTrap } from './crossfade.js';
import { attributesLookup, keyLookup } from './lookup.js';
import { BATCH_MAX, Outcomes } from './outcomes.js';
import { readSettings } from './settings.js';
import { MARK, Shadow, shadowOf } from './shadow.js';

// At the latest so long after an outcome the engine knows of it, and its guard with it.
const HAND_OVER_MS = 1000;

// The engine remembers clients, up to a million. An isolate on Cloudflare has 128 MB, and
// a table that doubles is there twice for a moment: at this size a new engine takes over.
const ENGINE_BYTES_MAX = 32 << 20;

// Last totals of engines that were replaced, until the control server has them.
const FINAL_TOTALS_MAX = 16;

// Reports of clients that are sent one after the other; and of engines that were replaced,
// those that are kept, of 64 KB each.
const CLIENT_REPORTS_AT_ONCE = 16;
const FINAL_REPORTS_MAX = 32;

// What a request's URL looks like. The runtime puts a Host header in front of the path as it
// came, and refuses to fetch what comes of some: a client must not pass that off as a
// failure of a version.
const URL_SHAPE = /^https?:\/\/(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d+)?\//i;

const pathAndQueryOf = (url) => url.slice(url.indexOf('/', url.indexOf('//') + 2));
const pathOf = (url) => pathAndQueryOf(url).split('?', 1)[0];
const REFUSED = new Set(['brownout', 'gone']);
const badRequest = () => new Response('bad request\n', { status: 400 });

export class Edge {
  #module;
  #settings;
  #control;
  #node;
  #engine;
  #policy;
  #guardTripped = false;
  #outcomes = new Outcomes();
  #clients = new Clients();
  #shadow = new Shadow();
  #finalTotals = [];
  #finalReports = [];
  #clientsTaken = {};
  #handedOverMs = 0;
  #pollFromMs = 0;
  #reportUntilMs = 0;
  #counters = {
    requests: 0,
    bad_requests: 0,
    undecided: { no_policy: 0, trap: 0, error: 0 },
    no_response: 0,
    policies: 0,
    guard_tripped: 0,
    engines_renewed: 0,
    outcomes_dropped: 0,
    refused: 0,
    reports: 0,
    client_reports: 0,
    client_reports_refused: 0,
    clients_left_out: 0,
    control_errors: { network: 0, status: 0, answer: 0, too_large: 0, policy: 0, internal: 0 },
  };

  /** `module` is the compiled crossfade.wasm, `env` the worker's bindings. */
  constructor(module, env) {
    this.#module = module;
    this.#settings = readSettings(env);
    const { control, token, timeoutMs, node, policy, problems } = this.#settings;
    if (control) this.#control = new Control(control, { token, timeoutMs });
    // The node in the totals: many instances of one worker run at a time.
    const [instance] = crypto.getRandomValues(new Uint32Array(1));
    this.#node = `${node}-${instance.toString(16).padStart(8, '0')}`;
    for (const problem of problems) console.error(`crossfade: ${problem}`);
    if (policy) this.#take(0, policy);
  }

  /** Answers one request, from the origin of the version that it belongs to. */
  async fetch(request, ctx) {
    const nowMs = Date.now();
    const { statusPath, origins, fallback, versionHeader, reasonHeader } = this.#settings;
    if (!URL_SHAPE.test(request.url)) {
      this.#counters.bad_requests += 1;
      return badRequest();
    }
    if (statusPath !== undefined && pathOf(request.url) === statusPath) return this.#status();
    this.#counters.requests += 1;
    this.#poll(ctx, nowMs);

    if (this.#policy?.timed && nowMs - this.#handedOverMs >= HAND_OVER_MS) this.#handOver(nowMs);
    const key = this.#policy?.key?.(request.headers);
    const routed = this.#decide(request.headers, key);
    const version = routed?.version ?? fallback;
    if (routed?.refusal) {
      this.#counters.refused += 1;
      this.#remember(request, key, routed, nowMs, { failed: false, refused: true });
      this.#afterwards(ctx, nowMs);
      return this.#refuse(request, routed);
    }
    const origin = origins.get(version);
    if (origin === undefined) return new Response('crossfade: no origin is configured\n', { status: 500 });

    let response;
    try {
      const forwarded = new Request(origin.url(request.url), request);
      if (routed === undefined) forwarded.headers.delete(versionHeader);
      else forwarded.headers.set(versionHeader, version);
      // Nor does a client pass for a copy.
      forwarded.headers.delete(MARK);
      response = await origin.fetch(forwarded);
    } catch (error) {
      // What is lost on the way to an origin is no TypeError; a request that cannot be is.
      if (error instanceof TypeError) {
        this.#counters.bad_requests += 1;
        return badRequest();
      }
      this.#counters.no_response += 1;
      console.warn(`crossfade: no response from ${version}: ${error.message}`);
    }
    const endedMs = Date.now();
    if (routed !== undefined) {
      const failed = this.#outcomes.record(version, response?.status, endedMs - nowMs);
      this.#remember(request, key, routed, nowMs, { failed, refused: false });
      if (response !== undefined) this.#mirror(ctx, request, key, routed, response);
      this.#afterwards(ctx, endedMs);
    }
    if (response === undefined) return this.#marked(new Response('bad gateway\n', { status: 502 }), version, routed);
    // A web socket's response is not to be made anew.
    if (response.webSocket) return response;
    const marked = routed !== undefined && (reasonHeader !== undefined || this.#policy.marks.get(version)?.length > 0);
    return marked ? this.#marked(new Response(response.body, response), version, routed) : response;
  }

  #afterwards(ctx, nowMs) {
    if (this.#outcomes.size >= BATCH_MAX || nowMs - this.#handedOverMs >= HAND_OVER_MS) this.#handOver(nowMs);
    this.#reportLater(ctx, nowMs);
  }

  // What the engine does not know of the client. It has counted the call of one who has a key.
  #remember(request, key, { version }, atMs, { failed, refused }) {
    if (this.#control === undefined) return;
    const client = this.#policy?.client(request, key);
    const place = this.#policy?.versions.indexOf(version);
    if (client && place >= 0) this.#clients.record(client, place, { counted: client.identity === 'key', failed, refused, atMs });
  }

  // Asks the newest version as well, once the old one's answer is on its way to the client.
  #mirror(ctx, request, key, routed, response) {
    const shade = this.#policy?.shade;
    if (shade === undefined) return;
    const { origins, versionHeader, shadowTimeoutMs: timeoutMs } = this.#settings;
    const origin = origins.get(shade.newest);
    const isStill = () => this.#policy?.versions.at(-1) === shade.newest;
    try {
      const ask = this.#shadow.of(shade, { request, key, routed, response, origin, versionHeader, timeoutMs, isStill });
      // In a task of its own: this one hands the answer over first.
      const later = ask && new Promise((resolve) => { setTimeout(resolve); });
      if (later) ctx.waitUntil(later.then(ask).then(() => this.#afterwards(ctx, Date.now())));
    } catch (error) {
      console.error(`crossfade: shadow: ${error.message}`);
    }
  }

  #refuse(request, { refusal: { status, headers, keeps_path, body }, ...routed }) {
    const response = new Response(body, { status, headers });
    if (keeps_path) response.headers.set('location', headers.location + pathAndQueryOf(request.url));
    return this.#marked(response, routed.version, routed);
  }

  // Where a request goes and why; undefined when there is no policy.
  #decide(headers, key) {
    const policy = this.#policy;
    if (policy === undefined) {
      this.#counters.undecided.no_policy += 1;
      return undefined;
    }
    try {
      if (policy.attributes !== undefined) return this.#engine.decide({ key, attributes: policy.attributes(headers) });
      const routed = this.#engine.route(key ?? '') ?? this.#engine.decide({ key });
      if (!REFUSED.has(routed.reason) || routed.refusal) return routed;
      // It is counted already; this says with what it is refused.
      return this.#engine.decide({ key, count: false });
    } catch (error) {
      const trapped = error instanceof CrossfadeTrap;
      this.#counters.undecided[trapped ? 'trap' : 'error'] += 1;
      this.#broke(error);
      return { version: policy.stable };
    }
  }

  #marked(response, version, routed) {
    for (const [name, value] of this.#policy?.marks.get(version) ?? []) {
      if (name === 'link') response.headers.append(name, value);
      else response.headers.set(name, value);
    }
    const { reasonHeader } = this.#settings;
    if (reasonHeader !== undefined && routed?.reason) response.headers.set(reasonHeader, routed.reason);
    return response;
  }

  // Puts a policy into force, or says why not and leaves what there is.
  #take(revision, document) {
    const nowMs = Date.now();
    let tripped = false;
    try {
      const policy = this.#compiled(revision, document);
      this.#handOver(nowMs);
      tripped = this.#guardTripped;
      this.#guardTripped = false;
      this.#putInForce(policy, nowMs);
      this.#policy = policy;
      this.#counters.policies += 1;
    } catch (error) {
      this.#guardTripped ||= tripped;
      if (error instanceof CrossfadeTrap) this.#broke(error);
      this.#counters.control_errors.policy += 1;
      console.error(`crossfade: policy ${revision} is refused: ${error.message}`);
    }
  }

  #putInForce({ document }, nowMs) {
    try {
      if (this.#engine) return this.#configure(document, nowMs);
    } catch (error) {
      // The document is good, so it is the counts that do not fit: versions have gone.
      if (error instanceof CrossfadeTrap) throw error;
    }
    this.#renew(document, nowMs);
  }

  #configure(document, nowMs) {
    // An engine lays a split out so that few buckets move from where they were; all nodes
    // must lay it out alike, whatever they had before. So it has none just before.
    if (document.split && !document.split_buckets) {
      this.#engine.configure({ ...document, split: undefined }, nowMs);
    }
    this.#engine.configure(document, nowMs);
  }

  // What requests need of a policy. An engine of its own says whether the document is
  // right, and which headers go with each version: it counts what it is asked.
  #compiled(revision, document) {
    const engine = new Crossfade(this.#module, { policy: document, seed: 0 });
    const { versions, config } = engine;
    const without = versions.filter((version) => !this.#settings.origins.has(version));
    if (without.length > 0) throw new Error(`there is no origin for ${without.join(', ')}`);
    const { api, deprecation, brownouts } = config;
    const pins = Object.fromEntries(versions.map((version) => [version, version]));
    engine.configure({ api, versions, key: { address: true }, deprecation, brownouts, pins });
    const marksAt = (nowMs) => new Map(versions.map((version) => {
      const { headers } = engine.decide({ key: version, count: false }, nowMs);
      return [version, Object.entries(headers).filter(([name]) => name !== 'x-api-version')];
    }));
    return {
      revision,
      document,
      versions,
      stable: versions[0],
      marks: marksAt(Date.now()),
      marksAt,
      // Whether the time alone may change whom it refuses, and what it announces.
      timed: brownouts?.length > 0 || deprecation?.sunset_at !== undefined,
      key: keyLookup(config, this.#settings.addressHeader),
      client: clientLookup(config, this.#settings.addressHeader),
      attributes: config.rules?.length > 0 ? attributesLookup(config) : undefined,
      shade: shadowOf(this.#module, config, versions),
    };
  }

  // A new engine with a new epoch. What the old one counted is sent with the next report.
  #renew(document, nowMs) {
    if (this.#engine) {
      this.#finalTotals.push(this.#totals());
      this.#finalTotals.splice(0, this.#finalTotals.length - FINAL_TOTALS_MAX);
      this.#counters.engines_renewed += 1;
      this.#drainClients();
    }
    const clients = this.#control && 'report';
    this.#engine = new Crossfade(this.#module, { policy: document, node: this.#node, clients, nowMs });
    this.#keepBraking(nowMs);
  }

  // A guard that has tripped holds until there is a new policy, also in a new engine.
  #keepBraking(nowMs) {
    if (!this.#guardTripped) return;
    this.#engine.configure({ ...this.#policy.document, kill_switch: true }, nowMs);
  }

  #broke(error) {
    console.error(`crossfade: ${error.message}`);
    if (!(error instanceof CrossfadeTrap)) return;
    try {
      this.#keepBraking(Date.now());
    } catch (again) {
      console.error(`crossfade: the guard is off: ${again.message}`);
    }
  }

  // Tells the engine how requests ended, and hears what came of it.
  #handOver(nowMs) {
    this.#handedOverMs = nowMs;
    if (this.#policy === undefined) return;
    this.#announce(nowMs);
    const { size } = this.#outcomes;
    const { message, unknown } = this.#outcomes.take(this.#policy.marks);
    let dropped = size;
    try {
      const answer = size > unknown ? this.#engine.handle(message, nowMs) : '';
      if (answer.includes('"error"')) throw new Error(answer);
      dropped = unknown;
      if (this.#clients.size > 0) {
        const noted = this.#engine.handle(this.#clients.take(), nowMs);
        if (noted.includes('"error"')) throw new Error(noted);
      }
      if (this.#shadow.size > 0) this.#engine.handle(this.#shadow.take(), nowMs);
      for (const line of this.#engine.tick(nowMs).split('\n').filter(Boolean)) this.#heard(line);
      if (this.#engine.memoryBytes > ENGINE_BYTES_MAX) this.#renew(this.#policy.document, nowMs);
    } catch (error) {
      this.#broke(error);
    }
    this.#counters.outcomes_dropped += dropped;
  }

  // What the old version's answers are marked with changes when a brownout is announced.
  #announce(nowMs) {
    if (!this.#policy.timed) return;
    try {
      this.#policy.marks = this.#policy.marksAt(nowMs);
    } catch (error) {
      console.error(`crossfade: ${error.message}`);
    }
  }

  #heard(line) {
    console.log(line);
    if (JSON.parse(line).event !== 'guard_tripped') return;
    this.#guardTripped = true;
    this.#counters.guard_tripped += 1;
  }

  // Asks for a newer policy now and then, after the answer to a request.
  #poll(ctx, nowMs) {
    if (this.#control === undefined || nowMs < this.#pollFromMs) return;
    const { pollMs, timeoutMs } = this.#settings;
    // Should this one never come back, the next is not held up for long.
    this.#pollFromMs = nowMs + pollMs + timeoutMs;
    ctx.waitUntil(this.#talk(async () => {
      const newer = await this.#control.policy();
      if (newer && newer.revision > (this.#policy?.revision ?? -1)) this.#take(newer.revision, newer.document);
    }).finally(() => { this.#pollFromMs = nowMs + pollMs; }));
  }

  // Reports a while after a request, unless a report is on its way that will have it.
  #reportLater(ctx, nowMs) {
    if (this.#control === undefined || nowMs < this.#reportUntilMs) return;
    const { reportMs, timeoutMs } = this.#settings;
    this.#reportUntilMs = nowMs + reportMs + timeoutMs;
    ctx.waitUntil(this.#talk(async () => {
      await new Promise((resolve) => setTimeout(resolve, reportMs));
      this.#reportUntilMs = 0;
      this.#handOver(Date.now());
      const final = [...this.#finalTotals];
      await this.#control.totals([...final, this.#totals()].join(''));
      // Each line was taken in, or never will be.
      this.#finalTotals = this.#finalTotals.filter((line) => !final.includes(line));
      this.#counters.reports += 1;
      await this.#reportClients();
    }));
  }

  // One report after the other, each until it is taken in: of engines that were replaced
  // first, since of each the numbers have to come in order.
  async #reportClients() {
    for (let sent = 0; sent < CLIENT_REPORTS_AT_ONCE; sent++) {
      const final = this.#finalReports[0];
      const { line, sequence, empty } = final ?? this.#takeClients(this.#clientsTaken);
      if (empty) return;
      const engine = this.#engine;
      const taken = await this.#control.clients(line);
      this.#counters[taken ? 'client_reports' : 'client_reports_refused'] += 1;
      if (final) this.#finalReports = this.#finalReports.filter((report) => report !== final);
      // An engine that was replaced meanwhile has left this report with the others; it is
      // sent once more, and taken in once.
      else if (engine === this.#engine) this.#clientsTaken = { [taken ? 'acknowledged' : 'refused']: sequence };
    }
  }

  // The engine's next report of clients, after the one before was dealt with.
  #takeClients(before) {
    const line = this.#engine.handle(JSON.stringify({ type: 'take_clients', ...before }));
    const { type, epoch, sequence, dropped = 0, clients, ...rest } = JSON.parse(line);
    if (type !== 'clients_report') throw new Error(line);
    this.#clientsTaken = {};
    // The engine numbers policies by itself; the server knows its own numbers.
    const { revision } = this.#policy;
    const report = { ...rest, epoch, sequence, revision, dropped, clients };
    return { line: `${JSON.stringify(report)}\n`, sequence, empty: clients.length === 0 && dropped === 0 };
  }

  #drainClients() {
    for (let before = this.#clientsTaken; this.#control && this.#finalReports.length < FINAL_REPORTS_MAX;) {
      const report = this.#takeClients(before);
      if (report.empty) break;
      this.#finalReports.push(report);
      before = { acknowledged: report.sequence };
    }
    this.#clientsTaken = {};
  }

  async #talk(exchange) {
    try {
      await exchange();
    } catch (error) {
      this.#counters.control_errors[error.kind ?? 'internal'] += 1;
      console.warn(`crossfade: control server: ${error.message}`);
    }
  }

  // The engine numbers policies by itself; who reads totals knows the server's numbers.
  #totals() {
    const totals = JSON.parse(this.#engine.totals());
    return `${JSON.stringify({ ...totals, revision: this.#policy.revision })}\n`;
  }

  #status() {
    this.#handOver(Date.now());
    this.#counters.clients_left_out = this.#clients.left;
    return Response.json({
      node: this.#node,
      revision: this.#policy?.revision,
      guard_tripped: this.#guardTripped,
      traps: this.#engine?.traps ?? 0,
      engine_bytes: this.#engine?.memoryBytes ?? 0,
      problems: this.#settings.problems,
      counters: { ...this.#counters, shadow: this.#shadow.counters },
      totals: this.#policy && JSON.parse(this.#totals()),
    });
  }
}
