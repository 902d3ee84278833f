// A migration that is under way, out of what its server tells. The parts are those of the
// rehearsal; what a server does not know (who each client is, other futures) is not there.

import { ask } from "./ask.ts";
import { completed, names } from "./defaults.ts";
import { card, h, text } from "./dom.ts";
import { count, duration, percent } from "./format.ts";
import { Health } from "./health.ts";
import { write } from "./link.ts";
import { Log } from "./log.ts";
import { type Command, Operator } from "./operator.ts";
import { type Seen, Shadow } from "./shadow.ts";
import { Store } from "./store.ts";
import { type Sample, sentence, Stream } from "./stream.ts";
import { hasLedger, Sunset } from "./sunset.ts";
import { themeButton } from "./theme.ts";
import type { Plan, Status, Step, Sunset as Answer, Told } from "./types.ts";
import { pill, Verdict } from "./verdict.ts";

/** The server's status, as far as it is shown; see docs/openapi.json. */
interface Document {
  api: string;
  revision: number;
  now_ms: number;
  rollout: Status;
  plan: Step[];
  migration: { total_clients: number; clients: Record<string, number>; outcomes: Record<string, { requests: number; failures: number }> };
  sunset: Answer;
  shadow?: Seen | null;
  nodes: { known: number; reporting: number; behind: number; oldest_ms?: number };
}

const COLUMNS = ["to_ms", "v1_requests", "v1_failures", "v2_requests", "v2_failures", "asked_percent", "ratio", "ratio_low", "ratio_high", "worse", "healthy", "step", "v1_clients", "v1_measured", "v1_slow", "v2_measured", "v2_slow"];
/** Entries of the audit log that are fetched at once: the newest, and what came since. */
const NEWEST = 200;
const ROWS = 1_000;
const NODES_SHOWN = 20;
const NODES_EVERY_MS = 5_000;
/** The server goes through all clients for that. */
const CLIENTS_EVERY_MS = 30_000;
/** A plan that could not be read is asked for again. */
const AGAIN_MS = 2_000;

const START: Command = { command: "start_rollout", label: "Start" };

export class Live {
  private stream = new Stream({
    status: (document) => this.take(document as Document),
    event: () => void (this.fresh || this.history()),
    samples: (samples) => this.chart(samples),
    standsBy: (leader) => this.standsBy(leader),
    troubled: (why) => this.troubled(why),
    open: (operates) => this.opened(operates),
    lost: (why) => this.lost(`Connection lost: ${why}`),
    denied: (why) => this.denied(why),
  });
  private plan: Plan | undefined;
  private revision = -1;
  private learning: Promise<void> | undefined;
  private both: [string, string] = ["v1", "v2"];
  private before: Sample | undefined;
  /** The server's time at which charts begin, its time since then, and when it told that
   *  by this clock. */
  private base = 0;
  private now = 0;
  private heard = NaN;
  private trouble = "";
  private entries = 0;
  /** The oldest entry of the audit log that was fetched. */
  private oldest = 1;
  private operates = false;
  /** A connection that has told nothing yet: it may be to a server that stands by. */
  private fresh = true;

  private time = (ms: number) => moment(this.base + ms);
  private store = new Store(COLUMNS);
  private verdict = new Verdict("The policy is in force as it stands. Whoever may operate can start the rollout, here or with `crossfade start`.");
  private operator = new Operator((command) => this.act(command), [START]);
  private health = new Health(this.store, () => undefined, { time: this.time, axis: (ms) => axis(this.base + ms, this.store.end) });
  private log = new Log(() => undefined, () => this.both[0], { time: this.time, older: () => void this.fetchOlder() });
  private shadow = new Shadow();
  private sunset = new Sunset();
  private pill = pill();
  private api = h("span", { class: "sub" }, "");
  private state = h("span", { class: "state" }, "Connecting …");
  /** Only what changes seldom is spoken. */
  private spoken = h("span", { class: "offscreen", role: "status" });
  private token = h("button", { type: "button", class: "quiet", onclick: () => this.sign() }, "");
  private rehearse = h("a", { class: "quiet", href: "?rehearse" }, "Rehearse");
  private bar = h("header", { class: "bar" },
    h("div", { class: "name" }, h("strong", {}, "Crossfade"), this.api), this.pill.root, this.state, this.spoken,
    h("div", { class: "tools" }, this.token, this.rehearse, themeButton()));
  private versions = card("versions", "Versions", "as reported by all nodes together");
  private nodes = card("nodes", "Nodes");

  constructor(private app: HTMLElement, guarded: boolean) {
    const main = h("main", {}, h("div", { class: "verdict-row" }, this.verdict.root, this.operator.root), this.health.root, this.log.root);
    const side = h("aside", { "aria-label": "Who is where" }, this.versions.root, this.shadow.root, this.sunset.root, this.nodes.root);
    app.replaceChildren(this.bar, h("div", { class: "columns" }, main, side));
    this.operator.root.hidden = true;
    this.label();
    setInterval(() => this.age(), 1_000);
    setInterval(() => void this.reporting(), NODES_EVERY_MS);
    if (guarded && !this.stream.token) this.denied("This server shows its migration to who has a token.");
    else this.stream.connect();
  }

  private label(): void {
    text(this.token, this.stream.token ? "Forget token" : "Enter token");
  }

  private opened(operates: boolean): void {
    this.operates = operates;
    this.fresh = true;
  }

  private lost(why: string): void {
    this.trouble = why;
    this.operator.root.hidden = true;
    this.app.classList.add("lost");
    this.age();
  }

  /** Nothing is lost, and nothing can be told. */
  private troubled(why: string): void {
    this.lost(`The server cannot tell how things stand: ${why}`);
  }

  /** Another server leads. Should it end, this one may, and then tells all of it. */
  private standsBy(leader: string | null): void {
    this.trouble = " ";
    this.heard = NaN;
    this.operator.root.hidden = true;
    this.app.classList.remove("lost");
    this.app.classList.add("standby");
    this.pill.state("standby");
    this.verdict.standby(leader);
    // Whoever leads from now on has another past.
    this.base = 0;
    this.entries = 0;
    this.revision = -1;
    this.before = undefined;
    this.store.clear();
    this.log.reset();
    this.age();
  }

  private denied(why: string): void {
    this.stream.token = "";
    this.label();
    this.lost(why);
    this.trouble = why;
    this.age();
    if (!document.querySelector("dialog")) this.sign();
  }

  /** The server's time; without a connection how old what is shown is. A status that did
   *  not change is not sent, and as good as new. */
  private age(): void {
    const passed = performance.now() - this.heard;
    if (this.trouble) text(this.state, this.trouble + (Number.isNaN(passed) ? "" : ` · shown as it was ${duration(passed)} ago`));
    else if (this.base) text(this.state, `Live · ${this.time(this.now + passed)}`);
    text(this.spoken, this.trouble || (this.base ? "Live" : ""));
  }

  /** Numbers of now, and at first of what was before. */
  private chart(samples: Sample[]): void {
    const [first] = samples;
    if (!first) return;
    // Charts begin with a whole minute.
    if (!this.base) {
      this.base = Math.floor(first.now_ms / 60_000) * 60_000;
      this.health.since(moment(first.now_ms));
    }
    for (const sample of samples) {
      if (this.before && sample.now_ms <= this.before.now_ms) continue;
      this.store.add(row(sample, this.before, this.base));
      this.before = sample;
    }
  }

  private take(told: Document): void {
    this.heard = performance.now();
    this.trouble = "";
    this.app.classList.remove("lost", "standby");
    const { rollout } = told;
    if (told.revision !== this.revision) {
      this.learning ??= this.learn(told).finally(() => { this.learning = undefined; });
      return;
    }
    const now = told.now_ms - this.base;
    this.now = now;
    this.operator.root.hidden = !this.operates;
    if (this.fresh) {
      this.fresh = false;
      void this.history();
      void this.reporting();
    }
    this.age();
    this.verdict.update(rollout, this.store.last("healthy"), this.log.all);
    this.pill.state(rollout.phase);
    this.operator.update(rollout.phase);
    this.health.update(now);
    this.shadow.update(told.shadow, this.both[1]);
    this.sunset.update(told.sunset, this.store, this.both, told.migration.total_clients > 0);
    this.tell(told);
  }

  /** The plan of another revision, and then what there is to see of it. */
  private async learn(told: Document): Promise<void> {
    try {
      const response = await this.stream.ask("v1/policy");
      if (!response.ok) throw new Error(await sentence(response));
      const { document: plan } = (await response.json()) as { document: Plan };
      this.plan = { ...plan, rollout: { ...plan.rollout, steps: told.plan } };
      // A rehearsal of the very plan that is live.
      if (told.plan.length > 0) this.rehearse.href = `?rehearse${await write({ script: completed({ plan }), at: 0 })}`;
    } catch (error) {
      this.lost(error instanceof Error ? error.message : String(error));
      setTimeout(() => this.stream.connect(), AGAIN_MS);
      return;
    }
    this.revision = told.revision;
    this.both = names(this.plan);
    text(this.api, told.api);
    document.title = `${told.api} · Crossfade`;
    this.verdict.reset(this.plan, this.both);
    this.health.reset(this.plan, this.both);
    this.health.mark(this.log.all);
    this.fresh = true;
    this.take(told);
  }

  /** Clients of each version that a ledger knows, and when that was asked. */
  private counted: Record<string, number> = {};
  private countedAt = -Infinity;

  private async count(versions: string[]): Promise<void> {
    if (performance.now() - this.countedAt < CLIENTS_EVERY_MS) return;
    this.countedAt = performance.now();
    for (const version of versions) {
      const response = await this.stream.ask(`v1/clients?version=${encodeURIComponent(version)}&limit=1`).catch(() => undefined);
      if (response?.ok) this.counted[version] = ((await response.json()) as { total: number }).total;
    }
  }

  private tell({ migration, nodes, sunset }: Document): void {
    const ledger = hasLedger(sunset);
    if (ledger) void this.count(Object.keys(migration.outcomes)).then(() => this.versionsOf(migration, true));
    this.versionsOf(migration, ledger);
    // Whoever is new is listed at once.
    if (nodes.known !== this.listed) {
      this.listed = nodes.known;
      void this.reporting();
    }
    const note = this.nodes.root.querySelector<HTMLElement>(".counted") ?? h("p", { class: "note counted" });
    text(note, nodes.known === 0 ? "No node has reported yet." : `${count(nodes.reporting)} of ${count(nodes.known)} report${nodes.behind > 0 ? `; ${count(nodes.behind)} of them not on policy revision ${this.revision} yet` : ""}.`);
    if (!note.isConnected) this.nodes.body.prepend(note);
  }

  /** How many nodes there were when they were listed last. */
  private listed = 0;

  private versionsOf(migration: Document["migration"], ledger: boolean): void {
    const known = ledger || migration.total_clients > 0;
    const clients = (version: string) => (ledger ? this.counted[version] : migration.clients[version] ?? 0);
    const heads = ["Version", "Requests", "Failures", "Rate", "Clients"];
    const rows = Object.entries(migration.outcomes).map(([version, { requests, failures }]) => {
      const on = known ? clients(version) : undefined;
      return [version, count(requests), count(failures), requests > 0 ? percent(failures / requests) : "–", on === undefined ? "–" : count(on)];
    });
    const uncounted = !known && h("p", { class: "note" }, "No node has told whose requests these were: clients are not known.");
    this.versions.body.replaceChildren(table(heads, rows), ...(uncounted ? [uncounted] : []));
  }

  private async reporting(): Promise<void> {
    if (this.trouble || this.fresh || this.revision < 0) return;
    const response = await this.stream.ask("v1/nodes").catch(() => undefined);
    if (!response?.ok) return;
    const { nodes } = (await response.json()) as { nodes: { node: string; revision: number | null; age_ms: number }[] };
    const rows = nodes.slice(0, NODES_SHOWN).map((node) => [node.node, `${duration(node.age_ms)} ago`, node.revision === null ? "–" : String(node.revision)]);
    this.nodes.root.querySelector("table")?.remove();
    this.nodes.root.querySelector(".more")?.remove();
    if (rows.length > 0) this.nodes.body.append(table(["Node", "Report", "Revision"], rows));
    if (nodes.length > rows.length) this.nodes.body.append(h("p", { class: "note more" }, `${count(nodes.length - rows.length)} more nodes are not listed here.`));
  }

  private fetching: Promise<void> | undefined;
  private again = false;

  /** What was done and decided since it was last looked at; a look that is asked for during
   *  another one is had after it, once. */
  private history(): Promise<void> {
    this.again = this.fetching !== undefined;
    this.fetching ??= this.look().catch(() => undefined).finally(() => {
      this.fetching = undefined;
      if (this.again) void this.history();
    });
    return this.fetching;
  }

  private async look(): Promise<void> {
    for (;;) {
      if (!this.base) return;
      const first = this.entries === 0;
      const entries = await this.audit(first ? `before=${Number.MAX_SAFE_INTEGER}&limit=${NEWEST}` : `after=${this.entries}&limit=${ROWS}`);
      if (entries.length === 0) return;
      this.entries = entries.at(-1)!.id;
      if (this.log.add(entries.map(({ told }) => told))) this.health.mark(this.log.all);
      if (first) this.log.before([], (this.oldest = entries[0]!.id) > 1);
    }
  }

  private reading = false;

  /** What was before all of that. */
  private async fetchOlder(): Promise<void> {
    const { base } = this;
    if (this.reading) return;
    this.reading = true;
    const entries = await this.audit(`before=${this.oldest}&limit=${NEWEST}`).catch(() => undefined);
    this.reading = false;
    if (!entries || base !== this.base) return;
    this.log.before(entries.map(({ told }) => told), (this.oldest = entries[0]?.id ?? 1) > 1);
    this.health.mark(this.log.all);
  }

  private async audit(which: string): Promise<{ id: number; told: Told }[]> {
    const response = await this.stream.ask(`v1/audit?${which}`);
    if (!response.ok) throw new Error(await sentence(response));
    const { audit } = (await response.json()) as { audit: { id: number; at_ms: number; who: string; what: string; why: string }[] };
    return audit.map(({ id, at_ms, who, what, why }) => ({ id, told: { at_ms: at_ms - this.base, event: { event: what, sentence: who === "crossfade" ? why : `${who}: ${why || "no reason given"}` } } }));
  }

  private sign(): void {
    if (this.stream.token) {
      this.stream.token = "";
      this.label();
      return location.reload();
    }
    const question = { title: "Token", about: "It is kept in this tab alone, and gone when the tab is closed. With the role `operate`, the rollout can be told what to do.", label: "Token", act: "Use it", secret: true, empty: "A token is the third word of its line in the token file." };
    ask(question, async (token) => {
      if (!/^[!-~]+$/.test(token)) return "A token has neither spaces nor letters beyond ASCII.";
      // What a server that stands by answers, too.
      const response = await this.stream.ask("v1/events", { headers: { authorization: `Bearer ${token}` } });
      if (response.status === 401 || response.status === 403) return sentence(response);
      void response.body?.cancel();
      this.stream.token = token;
      this.label();
      this.stream.connect();
      return undefined;
    });
  }

  private act({ command, label }: Command): void {
    const path = `v1/rollout/${command.replace("_rollout", "")}`;
    const question = {
      title: `${label} the rollout?`,
      about: "The reason is kept in the audit log, with the name of the token.",
      label: "Reason",
      act: label,
      empty: "Say why: whoever comes next will want to know.",
      unknown: "The server does not answer, and whether it was done is not known. Ask again: it is not done twice.",
      ...(label === "Promote" ? { also: "All the way, past the steps that are left" } : {}),
    };
    // By what the server knows what this dialog has asked, however often it had to.
    const keys = new Map<string, string>();
    ask(question, async (reason, full) => {
      const body = JSON.stringify({ reason, ...(full ? { full } : {}) });
      if (!keys.has(body)) keys.set(body, Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-"));
      const response = await this.stream.tell(path, body, keys.get(body)!);
      if (!response.ok) return sentence(response);
      void this.history();
      return undefined;
    });
  }
}

/** What a chart draws of a sample: counts since the one before. */
function row(sample: Sample, before: Sample | undefined, base: number): Float64Array {
  const since = (what: "requests" | "failures", side: 0 | 1) => Math.max(0, sample[what][side] - (before ?? sample)[what][side]);
  // What was measured is counted from each step's beginning.
  const began = !before ? sample.slow : before.step === sample.step ? before.slow : undefined;
  const slow = (what: "measured" | "slower", side: 0 | 1) => Math.max(0, (sample.slow?.[what][side] ?? 0) - (began?.[what][side] ?? 0));
  return Float64Array.of(
    sample.now_ms - base, since("requests", 0), since("failures", 0), since("requests", 1), since("failures", 1), sample.percentage,
    sample.ratio ?? NaN, sample.low ?? NaN, sample.high ?? NaN, sample.worse ?? NaN, sample.healthy ?? NaN, sample.step, sample.old_clients ?? NaN,
    slow("measured", 0), slow("slower", 0), slow("measured", 1), slow("slower", 1));
}

/** A time of this day, or a day and its time. */
function moment(ms: number): string {
  const at = new Date(ms);
  if (at.toDateString() === new Date().toDateString()) return at.toTimeString().slice(0, 8);
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${at.toTimeString().slice(0, 5)}`;
}

/** The same at an axis: a day has many hours, and a rollout may have many days. */
function axis(ms: number, span: number): string {
  const at = new Date(ms);
  const time = at.toTimeString().slice(0, span < 600_000 ? 8 : 5);
  return span < 86_400_000 ? time : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

function table(heads: string[], rows: string[][]): HTMLTableElement {
  const cells = ([first, ...rest]: string[]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell)));
  return h("table", { class: "facts" }, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows.map(cells)));
}
