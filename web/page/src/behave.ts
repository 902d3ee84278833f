// How the plan behaves: the same plan played from many seeds, in workers, with v2 healthy
// and with v2 worse. What no graph of one run tells.

import { card, h, text } from "./dom.ts";
import { count, duration, percent } from "./format.ts";
import { names, planned } from "./defaults.ts";
import type { Batch, Played } from "./runs-worker.ts";
import type { Fault, Outcome, Script } from "./types.ts";

const RUNS = 500;
/** Without faults of v2's own in the scenario, this is what is looked for. */
const DOUBLED: Fault = { kind: "v2_errors", size: 2, from_step: 1 };
const OWN = new Set<Fault["kind"]>(["v2_errors", "v2_slow", "segment_broken"]);

interface Group {
  script: Script;
  runs: { seed: number; outcome: Outcome }[];
}

export class Behave {
  readonly root: HTMLElement;
  private button: HTMLButtonElement;
  private bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "Runs played" });
  private said = h("div", { class: "findings", role: "status" });
  private workers: Worker[] = [];
  private script: Script | undefined;

  constructor(private current: () => Script, private watch: (script: Script) => void) {
    const { root, body } = card("behave", "How will this plan behave?");
    this.root = root;
    this.button = h("button", { type: "button", class: "wide-button", onclick: () => (this.workers.length > 0 ? this.stop("Stopped.") : this.play()) }, `Play it ${RUNS} times`);
    body.append(h("p", { class: "note" }, "Plays the plan from many seeds: half with a healthy v2, half with a v2 that is worse."), this.button, this.bar, this.said);
  }

  /** Another plan or traffic: what was found is of another one. */
  changed(script: Script): void {
    const part = ({ plan, traffic, faults }: Script) => JSON.stringify([plan, traffic, faults]);
    if (!this.script || part(this.script) === part(script)) return;
    this.script = undefined;
    this.stop("");
    this.said.replaceChildren();
  }

  private stop(said: string): void {
    for (const worker of this.workers) worker.terminate();
    this.workers = [];
    this.bar.hidden = true;
    text(this.button, `Play it ${RUNS} times`);
    if (said && this.said.childElementCount === 0) this.said.append(h("p", { class: "note" }, said));
  }

  private play(): void {
    const script = { ...structuredClone(this.current()), commands: [] };
    this.script = this.current();
    this.said.replaceChildren();
    const own = script.faults.filter((fault) => OWN.has(fault.kind));
    const healthy: Group = { script: { ...script, faults: script.faults.filter((fault) => !OWN.has(fault.kind)) }, runs: [] };
    const worse: Group = { script: own.length > 0 ? script : { ...script, faults: [...script.faults, DOUBLED] }, runs: [] };
    const groups = [healthy, worse];
    const mostMs = Math.max(2 * planned(script.plan), planned(script.plan) + 4 * 3_600_000);
    const half = RUNS / 2;
    const jobs = groups.flatMap((group) => Array.from({ length: half / 10 }, (_, at) => ({ group, seeds: Array.from({ length: 10 }, (_, n) => script.seed + at * 10 + n) })));
    // By turns, so that both are known early.
    jobs.sort((a, b) => a.seeds[0]! - b.seeds[0]!);
    const threads = Math.max(1, Math.min(8, (navigator.hardwareConcurrency || 2) - 1, jobs.length));
    let done = 0;
    let busy = threads;
    this.bar.hidden = false;
    this.bar.value = 0;
    text(this.button, "Stop");
    const next = (worker: Worker): boolean => {
      const job = jobs.shift();
      if (!job) return false;
      worker.onmessage = (event: MessageEvent<Played>) => {
        const played = event.data;
        if ("failed" in played) return this.stop(`A run failed: ${played.failed}`);
        if ("outcome" in played) {
          job.group.runs.push(played);
          done += 1;
          this.bar.value = done / RUNS;
          if (done % 10 === 0 || done === RUNS) this.tell(healthy, worse, own.length > 0 ? "the fault of this scenario" : "a doubled error rate");
          return;
        }
        if (!next(worker)) {
          worker.terminate();
          busy -= 1;
          if (busy === 0) this.stop("");
        }
      };
      worker.postMessage({ script: job.group.script, seeds: job.seeds, mostMs } satisfies Batch);
      return true;
    };
    this.workers = Array.from({ length: threads }, () => {
      const worker = new Worker(new URL("./runs-worker.ts", import.meta.url), { type: "module" });
      worker.onerror = (event) => this.stop(`A run failed: ${event.message || "the engine could not be loaded"}`);
      next(worker);
      return worker;
    });
  }

  private tell(healthy: Group, worse: Group, fault: string): void {
    const [, fresh] = names(healthy.script.plan);
    const back = healthy.runs.filter((run) => run.outcome.end === "rolled_back");
    const through = healthy.runs.filter((run) => run.outcome.end === "completed");
    const stuck = healthy.runs.length - back.length - through.length;
    const found = worse.runs.filter((run) => run.outcome.end === "rolled_back" && run.outcome.regression_ms !== undefined);
    const missed = worse.runs.filter((run) => run.outcome.end === "completed");
    const after = found.map(({ outcome }) => outcome.ended_ms - (outcome.regression_ms ?? 0));
    const clients = found.map(({ outcome }) => outcome.harmed_clients);
    const requests = found.map(({ outcome }) => outcome.harmed_requests);
    const took = through.map(({ outcome }) => outcome.ended_ms);
    const of = (n: number, all: number) => (all > 0 ? percent(n / all) : "–");
    const row = (label: string, value: string, more: string) => h("div", {}, h("dt", {}, label), h("dd", { class: "num" }, h("strong", {}, value), more ? h("small", {}, more) : null));
    this.said.replaceChildren(
      h("p", { class: "sentence" }, `Rolls back a healthy ${fresh} in ${of(back.length, healthy.runs.length)} of runs; finds ${fault} in ${of(found.length, worse.runs.length)}, after ${duration(at(after, 0.5))} (median), with ${((n) => (n === 1 ? "1 client" : `${count(n)} clients`))(Math.round(at(clients, 0.5) || 0))} affected.`),
      h("dl", {},
        row("Healthy: taken back", of(back.length, healthy.runs.length), range(back.length, healthy.runs.length)),
        row("Healthy: completed after", duration(at(took, 0.5)), took.length ? `9 of 10 within ${duration(at(took, 0.9))}` : ""),
        ...(stuck > 0 ? [row("Healthy: waits for proof", of(stuck, healthy.runs.length), "at the end of the time watched")] : []),
        row("Worse: taken back", of(found.length, worse.runs.length), range(found.length, worse.runs.length)),
        row("Worse: found after", duration(at(after, 0.5)), after.length ? `9 of 10 within ${duration(at(after, 0.9))}` : ""),
        row("Worse: clients affected", count(at(clients, 0.5) || 0), clients.length ? `9 of 10 at most ${count(at(clients, 0.9))}` : ""),
        row("Worse: failed requests", count(at(requests, 0.5) || 0), requests.length ? `9 of 10 at most ${count(at(requests, 0.9))}` : "")),
      histogram(after),
      h("p", { class: "note num" }, `${count(healthy.runs.length)} healthy and ${count(worse.runs.length)} worse runs`),
      this.links([["Watch a healthy v2 that is taken back", healthy, back[0]], ["Watch a worse v2 that gets through", worse, missed[0]], ["Watch the slowest find", worse, found.length > 0 ? found.reduce((a, b) => (b.outcome.ended_ms > a.outcome.ended_ms ? b : a)) : undefined]]));
  }

  private links(of: [string, Group, { seed: number } | undefined][]): HTMLElement {
    const buttons = of.filter(([, , run]) => run !== undefined).map(([label, group, run]) => h("button", { type: "button", class: "quiet", onclick: () => this.watch({ ...group.script, seed: run!.seed }) }, label));
    return h("div", { class: "links" }, ...buttons);
  }
}

/** A quantile; `NaN` of nothing. */
function at(numbers: number[], quantile: number): number {
  if (numbers.length === 0) return NaN;
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(quantile * sorted.length) - 1)] ?? NaN;
}

/** What share it may be in truth (Wilson, 95 %). */
function range(n: number, all: number): string {
  if (all === 0) return "";
  const [z, p] = [1.96, n / all];
  const middle = (p + (z * z) / (2 * all)) / (1 + (z * z) / all);
  const half = (z / (1 + (z * z) / all)) * Math.sqrt((p * (1 - p)) / all + (z * z) / (4 * all * all));
  return `in truth ${percent(Math.max(0, middle - half))} to ${percent(Math.min(1, middle + half))}`;
}

/** How soon regressions were found, as bars. */
function histogram(times: number[]): HTMLElement {
  if (times.length < 10) return h("div");
  const most = at(times, 0.99);
  const bins = new Array<number>(24).fill(0);
  for (const time of times) {
    const bin = Math.min(bins.length - 1, Math.floor((time / most) * bins.length));
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  const highest = Math.max(...bins);
  const bars = bins.map((n) => {
    const bar = h("i");
    bar.style.height = `${Math.max(n > 0 ? 4 : 0, (n / highest) * 100)}%`;
    return bar;
  });
  return h("figure", { class: "histogram" }, h("div", { role: "img", "aria-label": `Found between ${duration(at(times, 0.01))} and ${duration(most)} after it began` }, ...bars), h("figcaption", { class: "num" }, h("span", {}, "0"), h("span", {}, "found after"), h("span", {}, duration(most))));
}
