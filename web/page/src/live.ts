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
import { Store } from "./store.ts";
import { sentence, Stream } from "./stream.ts";
import { Sunset } from "./sunset.ts";
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
  nodes: { known: number; reporting: number; behind: number; oldest_ms?: number };
}

const COLUMNS = ["to_ms", "v1_requests", "v1_failures", "v2_requests", "v2_failures", "asked_percent", "ratio", "ratio_low", "ratio_high", "worse", "healthy", "step", "v1_clients"];
/** Entries of the audit log that are fetched at once. */
const ROWS = 1_000;
const NODES_SHOWN = 20;
const NODES_EVERY_MS = 5_000;
/** A plan that could not be read is asked for again. */
const AGAIN_MS = 2_000;
/** After these phases, evidence is about what has been. */
const OVER = ["rolled_back", "aborted", "undone", "completed"];

const START: Command = { command: "start_rollout", label: "Start" };

export class Live {
  private stream = new Stream({
    status: (document) => this.take(document as Document),
    event: () => void this.history(),
    open: (operates) => this.opened(operates),
    lost: (why, standsBy) => this.lost(why, standsBy),
    denied: (why) => this.denied(why),
  });
  private plan: Plan | undefined;
  private revision = -1;
  private learning: Promise<void> | undefined;
  private both: [string, string] = ["v1", "v2"];
  private before: Document["migration"]["outcomes"] | undefined;
  /** The server's time at which charts begin, its time since then, and when it told that
   *  by this clock. */
  private base = 0;
  private now = 0;
  private heard = NaN;
  private trouble = "";
  private entries = 0;

  private time = (ms: number) => new Date(this.base + ms).toTimeString().slice(0, 8);
  private store = new Store(COLUMNS);
  private verdict = new Verdict();
  private operator = new Operator((command) => this.act(command), [START]);
  private health = new Health(this.store, () => undefined, { time: this.time });
  private log = new Log(() => undefined, () => this.both[0], { time: this.time });
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
    const side = h("aside", { "aria-label": "Who is where" }, this.versions.root, this.sunset.root, this.nodes.root);
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
    this.operator.root.hidden = !operates;
    this.trouble = "";
    this.app.classList.remove("lost");
    void this.history();
    void this.reporting();
  }

  private lost(why: string, standsBy = false): void {
    this.trouble = standsBy ? why : `Connection lost: ${why}`;
    this.operator.root.hidden = true;
    this.app.classList.add("lost");
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

  private take(told: Document): void {
    this.heard = performance.now();
    this.trouble = "";
    const { rollout, migration } = told;
    // Charts begin with a whole minute.
    if (!this.base) {
      this.base = Math.floor(told.now_ms / 60_000) * 60_000;
      this.health.since(this.time(told.now_ms - this.base));
    }
    if (told.revision !== this.revision) {
      this.learning ??= this.learn(told).finally(() => { this.learning = undefined; });
      return;
    }
    const now = told.now_ms - this.base;
    this.now = now;
    this.age();
    this.store.add(this.row(told, now));
    this.before = migration.outcomes;
    this.verdict.update(rollout, this.store.last("healthy"), this.log.all);
    this.pill.state(rollout.phase);
    this.operator.update(rollout.phase);
    this.health.update(now);
    this.sunset.update(told.sunset, this.store, this.both);
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
    const same = this.revision >= 0 && String(names(this.plan)) === String(this.both);
    this.revision = told.revision;
    this.both = names(this.plan);
    if (!same) this.before = undefined;
    text(this.api, told.api);
    document.title = `${told.api} · Crossfade`;
    this.verdict.reset(this.plan, this.both);
    this.health.reset(this.plan, this.both);
    this.health.mark(this.log.all);
    void this.history();
    void this.reporting();
    this.take(told);
  }

  private row({ rollout, migration }: Document, now: number): Float64Array {
    const since = (version: string, what: "requests" | "failures") => Math.max(0, (migration.outcomes[version]?.[what] ?? 0) - (this.before?.[version]?.[what] ?? migration.outcomes[version]?.[what] ?? 0));
    const evidence = OVER.includes(rollout.phase) ? {} : ((rollout.evidence ?? {}) as Record<string, Record<string, unknown> | undefined>);
    const number = (n: unknown) => (typeof n === "number" ? n : NaN);
    const part = (test: string, log: string, threshold: string) => number(evidence[test]?.[log]) / number(evidence[test]?.[threshold]);
    const known = (parts: number[]) => parts.filter((n) => !Number.isNaN(n));
    const worse = known([part("failures", "log_e_worse", "threshold_worse"), part("latency", "log_e_slower", "threshold_slower"), part("slo", "log_e_bad", "threshold_bad"), part("latency_slo", "log_e_bad", "threshold_bad")]);
    const healthy = known([part("failures", "log_e_ok", "threshold_ok"), part("latency", "log_e_not_slower", "threshold_not_slower"), part("slo", "log_e_ok", "threshold_ok"), part("latency_slo", "log_e_ok", "threshold_ok")]);
    const interval = evidence.failures?.ratio_interval as { low: number | null; high: number | null } | undefined;
    const [old, fresh] = this.both;
    return Float64Array.of(
      now, since(old, "requests"), since(old, "failures"), since(fresh, "requests"), since(fresh, "failures"), rollout.percentage,
      number(evidence.failures?.ratio), number(interval?.low), number(interval?.high),
      worse.length > 0 ? Math.max(...worse) : NaN, healthy.length > 0 ? Math.min(...healthy) : NaN,
      rollout.step, migration.total_clients > 0 ? (migration.clients[old] ?? 0) : NaN);
  }

  private tell({ migration, nodes }: Document): void {
    const heads = ["Version", "Requests", "Failures", "Rate", "Clients"];
    const rows = Object.entries(migration.outcomes).map(([version, { requests, failures }]) => [version, count(requests), count(failures), requests > 0 ? percent(failures / requests) : "–", migration.total_clients > 0 ? count(migration.clients[version] ?? 0) : "–"]);
    const uncounted = migration.total_clients === 0 && h("p", { class: "note" }, "No node has told whose requests these were: clients are not known.");
    this.versions.body.replaceChildren(table(heads, rows), ...(uncounted ? [uncounted] : []));
    const note = this.nodes.root.querySelector<HTMLElement>(".counted") ?? h("p", { class: "note counted" });
    text(note, nodes.known === 0 ? "No node has reported yet." : `${count(nodes.reporting)} of ${count(nodes.known)} report${nodes.behind > 0 ? `; ${count(nodes.behind)} of them not on policy revision ${this.revision} yet` : ""}.`);
    if (!note.isConnected) this.nodes.body.prepend(note);
  }

  private async reporting(): Promise<void> {
    if (this.trouble || this.revision < 0) return;
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

  /** What was done and decided since it was last looked at, one look after the other. */
  private history(): Promise<void> {
    const look = (this.fetching ?? Promise.resolve()).then(() => this.look()).catch(() => undefined);
    this.fetching = look;
    return look;
  }

  private async look(): Promise<void> {
    for (;;) {
      if (!this.base) return;
      const response = await this.stream.ask(`v1/audit?after=${this.entries}&limit=${ROWS}`);
      if (!response.ok) return;
      const { audit } = (await response.json()) as { audit: { id: number; at_ms: number; who: string; what: string; why: string }[] };
      if (audit.length === 0) return;
      this.entries = audit.at(-1)!.id;
      const told = audit.map(({ at_ms, who, what, why }): Told => ({ at_ms: at_ms - this.base, event: { event: what, sentence: who === "crossfade" ? why : `${who}: ${why || "no reason given"}` } }));
      if (this.log.add(told)) this.health.mark(this.log.all);
    }
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
      const response = await this.stream.ask("v1/rollout", { headers: { authorization: `Bearer ${token}` } });
      if (response.status === 401 || response.status === 403) return sentence(response);
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
      ...(label === "Promote" ? { also: "All the way, past the steps that are left" } : {}),
    };
    ask(question, async (reason, full) => {
      const body = JSON.stringify({ reason, ...(full ? { full } : {}) });
      const response = await this.stream.ask(path, { method: "POST", body, headers: { "content-type": "application/json" } });
      if (!response.ok) return sentence(response);
      void this.history();
      return undefined;
    });
  }
}

function table(heads: string[], rows: string[][]): HTMLTableElement {
  const cells = ([first, ...rest]: string[]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell)));
  return h("table", { class: "facts" }, h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows.map(cells)));
}
