// Puts the parts together: frames in, drawings out; what a visitor does, to the worker.

import "uplot/dist/uPlot.min.css";
import "./style.css";

import { Bar } from "./bar.ts";
import { Behave } from "./behave.ts";
import { Clients } from "./clients.ts";
import { completed, names, script as defaultScript } from "./defaults.ts";
import { h, text } from "./dom.ts";
import { Editor } from "./editor.ts";
import { Flow } from "./flow.ts";
import { clock } from "./format.ts";
import { Health } from "./health.ts";
import { helpDialog } from "./help.ts";
import { read, write } from "./link.ts";
import { Live } from "./live.ts";
import { Log } from "./log.ts";
import { Operator } from "./operator.ts";
import { Store } from "./store.ts";
import { Sunset } from "./sunset.ts";
import type { Frame, Reply, Request, Script, Status } from "./types.ts";
import { Verdict } from "./verdict.ts";

const INITIAL_SPEED = 100;
/** Charts are drawn at most so often; half as often when drawing them takes long. */
const CHARTS_EVERY_MS = 66;
/** A tick of the simulation. */
const TICK_MS = 5_000;
const CHARTS_COST_MAX_MS = 8;

class Page {
  private script: Script = defaultScript();
  private run = 0;
  private store: Store | undefined;
  private worker: Worker;
  private frame: Frame | undefined;
  private status: Status | undefined;
  private furthest = 0;
  private at = 0;
  /** The number of the run that was asked for last, and scripts that were asked for. */
  private asked = 0;
  private pending = new Map<number, Script>();

  private bar: Bar;
  private verdict = new Verdict("Press play: simulated clients call, the engine decides step by step, and says why.");
  private operator = new Operator((order) => this.order(order.command, order.full));
  private flow = new Flow();
  private clients = new Clients((place) => this.send({ type: "client", place }));
  private health: Health | undefined;
  private log = new Log((ms) => this.seek(ms), () => names(this.script.plan)[0]);
  private editor: Editor;
  private sunset = new Sunset();
  private behave = new Behave(() => this.script, (script) => this.begin(script, true, 0));
  private scrub = h("input", { type: "range", min: "0", max: "1", step: "5000", value: "0", "aria-label": "Moment" });
  private scrubbed = h("output", { class: "num" }, "00:00:00");
  private notice = h("div", { class: "notice", role: "alert", hidden: true });
  private help = helpDialog();
  private healthPlace = h("div", { class: "health-place" });

  constructor(private app: HTMLElement) {
    this.bar = new Bar({
      restart: () => this.begin({ ...this.script, commands: [] }, true, 0),
      play: () => this.toggle(),
      step: () => this.send({ type: "step", ms: 60_000 }),
      speed: (value) => this.send({ type: "speed", value }),
      link: () => this.link(),
      help: () => this.help.showModal(),
    }, INITIAL_SPEED);
    this.editor = new Editor(this.script, {
      restart: (script, play) => this.begin(script, play, 0),
      amend: (script) => this.amend(script),
      now: () => this.moment(),
      begun: () => this.begun(),
    });
    this.worker = this.spawn();
    this.lay();
    this.keys();
    addEventListener("hashchange", () => void this.open());
    requestAnimationFrame((now) => this.draw(now, now));
  }

  private lay(): void {
    const main = h("main", {},
      h("div", { class: "verdict-row" }, this.verdict.root, this.operator.root), this.notice,
      h("div", { class: "pair" }, this.flow.root, this.clients.root),
      this.healthPlace, this.log.root);
    const side = h("aside", { "aria-label": "Scenario" }, this.behave.root, this.editor.roots[1]!, this.editor.roots[2]!);
    // On a phone what can be tried stands right after the verdict, and so in the order of
    // the keyboard, too.
    const narrow = matchMedia("(max-width: 760px)");
    const [scenario] = this.editor.roots as [HTMLElement];
    const place = () => {
      if (narrow.matches) {
        this.notice.after(scenario);
        this.healthPlace.before(this.sunset.root);
      } else side.prepend(scenario, this.sunset.root);
    };
    narrow.addEventListener("change", place);
    place();
    this.scrub.addEventListener("input", () => this.seek(Number(this.scrub.value)));
    this.app.replaceChildren(this.bar.root, h("div", { class: "columns" }, main, side), this.help);
  }

  private spawn(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event: MessageEvent<Reply>) => this.hear(event.data);
    worker.onerror = (event) => this.broken("The engine could not be loaded.", event.message || "The worker did not start.");
    return worker;
  }

  private send(request: Request): void {
    this.worker.postMessage(request);
  }

  /** The moments at which steps began. */
  private begun(): number[] {
    return this.log.all.filter((told) => told.event.event === "step_started").map((told) => told.at_ms);
  }

  /** The run of the address, or the first one. */
  async open(): Promise<void> {
    try {
      const shared = await read(location.hash);
      if (shared) {
        this.begin(completed(shared.script), false, shared.at);
        return;
      }
    } catch (error) {
      this.say(`This link cannot be read (${error instanceof Error ? error.message : String(error)}). Here is the usual run instead.`);
    }
    if (this.run === 0) this.begin(defaultScript(), !matchMedia("(prefers-reduced-motion: reduce)").matches, 0);
  }

  /** Asks for a new run; the present one goes on until the engine has agreed. */
  private begin(script: Script, play: boolean, at: number): void {
    this.asked += 1;
    this.pending.set(this.asked, script);
    this.send({ type: "start", run: this.asked, script: JSON.stringify(script), at, play, speed: this.bar.speed });
  }

  private adopt(run: number): void {
    const script = this.pending.get(run);
    if (!script) return;
    this.pending.delete(run);
    this.run = run;
    this.script = script;
    this.furthest = 0;
    this.frame = undefined;
    this.store?.clear();
    this.log.reset();
    this.flow.reset();
    const both = names(this.script.plan);
    this.verdict.reset(this.script.plan, both);
    this.health?.reset(this.script.plan, both);
    // Another change is under way already: it is shown when its turn comes.
    if (run === this.asked) this.editor.show(this.script);
    this.behave.changed(this.script);
    this.notice.hidden = this.notice.dataset.lasting !== "yes";
    delete this.notice.dataset.lasting;
  }

  private hear(reply: Reply): void {
    switch (reply.type) {
      case "ready":
        this.store = new Store(reply.columns);
        this.health = new Health(this.store, (ms) => this.seek(ms));
        this.healthPlace.replaceChildren(this.health.root);
        this.health.root.append(h("label", { class: "scrub" }, h("span", {}, "Moment"), this.scrub, this.scrubbed));
        this.editor.offer(reply.scenarios);
        void this.open();
        break;
      case "frame":
        if (reply.frame.run > this.run) this.adopt(reply.frame.run);
        if (reply.frame.run === this.run) this.take(reply.frame);
        break;
      case "refused":
        this.pending.delete(reply.run);
        this.refused(reply.problems.map((p) => `${p.path}: ${p.message}`).join("; "));
        this.editor.refuse(reply.problems);
        break;
      case "client":
        this.clients.show(reply.place, reply.card);
        break;
      case "failed":
        this.broken(reply.message, reply.detail);
        break;
      case "digest":
        document.documentElement.dataset.digest = `${reply.digest}@${reply.now}`;
        break;
    }
  }

  private refused(problems: string): void {
    if (this.run > 0) return this.say(`The change was not taken: ${problems}. The run before goes on.`);
    this.say(`The run of this link cannot be played: ${problems}. Here is the usual run instead.`);
    this.begin(defaultScript(), false, 0);
  }

  private take(frame: Frame): void {
    const store = this.store;
    if (!store) return;
    this.frame = { ...this.frame, ...frame };
    this.at = frame.now;
    this.furthest = Math.max(this.furthest, frame.now);
    if (frame.rows && frame.rows.length > 0) store.add(frame.rows);
    if (frame.events && this.log.add(frame.events)) this.health?.mark(this.log.all);
    if (frame.status) {
      this.status = frame.status;
      const row = store.length > 0 ? store.at(frame.now) : -1;
      this.verdict.update(frame.status, row >= 0 ? store.column("healthy")[row]! : NaN, this.log.all.filter((told) => told.at_ms <= frame.now + 5_000));
      this.bar.state(frame.status.phase);
      this.operator.update(frame.status.phase);
    }
    if (frame.squares) this.clients.update(frame.squares, frame.status?.percentage ?? this.status?.percentage ?? 0, names(this.script.plan), frame.now);
    if (frame.sunset) this.sunset.update(frame.sunset, store, names(this.script.plan), store.length > 0 && store.last("v1_clients") + store.last("v2_clients") > 0);
  }

  private lastCharts = 0;

  private draw(now: number, before: number): void {
    requestAnimationFrame((next) => this.draw(next, now));
    const frame = this.frame;
    const store = this.store;
    if (!frame || !store) return;
    this.bar.update(frame.now, frame.playing, frame.reached, this.rate(store));
    this.flow.update({ ...this.flowing(store), playing: frame.playing });
    this.flow.frame(Math.min(0.1, (now - before) / 1000));
    const cost = this.health?.cost ?? 0;
    if (now - this.lastCharts >= CHARTS_EVERY_MS * (cost > CHARTS_COST_MAX_MS ? 2 : 1)) {
      this.lastCharts = now;
      this.health?.update(frame.now);
      const end = Math.max(store.end, this.furthest);
      if (document.activeElement !== this.scrub || frame.playing) {
        this.scrub.max = String(Math.max(5_000, end));
        this.scrub.value = String(frame.now);
      }
      const shown = `${clock(frame.now)} of ${clock(end)}`;
      text(this.scrubbed, shown);
      this.scrub.setAttribute("aria-valuetext", shown);
    }
  }

  private rate(store: Store): number {
    if (store.length === 0) return this.script.traffic.rps;
    const row = store.at(this.at);
    const seconds = store.span(row, 60_000) / 1000;
    return (store.sum("v1_requests", row, 60_000) + store.sum("v2_requests", row, 60_000)) / Math.max(5, seconds);
  }

  private flowing(store: Store) {
    const both = names(this.script.plan);
    const none: [number, number] = [NaN, NaN];
    if (store.length === 0) return { speed: this.bar.speed, share: 0, asked: 0, failing: [0, 0] as [number, number], latency: none, rate: this.script.traffic.rps, usual: this.script.traffic.rps, names: both };
    const row = store.at(this.at);
    // The last half minute: short enough to see a rollback at once.
    const [a, b] = [store.sum("v1_requests", row, 30_000), store.sum("v2_requests", row, 30_000)];
    const part = (n: number, of: number) => (of > 0 ? n / of : 0);
    return {
      speed: this.frame?.reached || this.bar.speed,
      share: part(b, a + b),
      asked: store.column("asked_percent")[row]!,
      failing: [part(store.sum("v1_failures", row, 30_000), a), part(store.sum("v2_failures", row, 30_000), b)] as [number, number],
      latency: [store.column("v1_p50_ms")[row]!, b > 0 ? store.column("v2_p50_ms")[row]! : NaN] as [number, number],
      rate: this.rate(store),
      usual: this.script.traffic.rps,
      names: both,
    };
  }

  private toggle(): void {
    this.send({ type: "play", on: !(this.frame?.playing ?? false) });
  }

  private seek(ms: number): void {
    this.send({ type: "seek", ms: Math.max(0, ms) });
  }

  /** A command is an entry of the script: a link and the scrubber replay it. */
  private order(command: string, full?: boolean): void {
    const commands = [...this.script.commands, { at_ms: this.moment(), command, ...(full ? { full } : {}) }];
    this.amend({ ...this.script, commands });
    if (!this.frame?.playing) this.send({ type: "step", ms: 5_000 });
  }

  /** The end of the tick that is shown: the next moment at which anything can change. */
  private moment(): number {
    return Math.ceil(this.at / TICK_MS) * TICK_MS;
  }

  /** From now on it goes otherwise: what was known of the future is forgotten. */
  private amend(script: Script): void {
    const at = this.moment();
    const commands = script.commands.filter((order) => order.at_ms <= at);
    // A plan that was typed and refused is none of this run's.
    this.script = { ...this.script, faults: script.faults, commands };
    // Frames that are under way are of another future.
    this.asked += 1;
    this.run = this.asked;
    this.send({ type: "amend", run: this.run, script: JSON.stringify(this.script), at });
    this.store?.truncate(at);
    this.log.truncate(at);
    this.health?.mark(this.log.all);
    this.furthest = at;
    this.behave.changed(this.script);
  }

  private async link(): Promise<void> {
    const hash = await write({ script: this.script, at: Math.round(this.at) });
    history.replaceState(null, "", hash);
    await navigator.clipboard.writeText(location.href);
  }

  private say(message: string): void {
    this.notice.hidden = false;
    this.notice.dataset.lasting = "yes";
    const close = h("button", { type: "button", class: "quiet", onclick: () => { this.notice.hidden = true; } }, "Close");
    this.notice.replaceChildren(h("p", {}, message), close);
  }

  /** The engine is gone: say so, and offer to go on from the beginning. */
  private broken(message: string, detail: string): void {
    this.notice.hidden = false;
    const again = h("button", { type: "button", class: "quiet", onclick: () => this.revive() }, "Load it again");
    this.notice.replaceChildren(h("p", {}, h("strong", {}, message), ` ${detail}`), again);
    document.body.dataset.state = "broken";
    this.inert(true);
  }

  /** What an engine would be needed for cannot be used without one. */
  private inert(on: boolean): void {
    for (const part of this.app.querySelectorAll<HTMLElement>(".transport, .operator, .card, .link")) part.inert = on;
  }

  private revive(): void {
    this.worker.terminate();
    this.notice.hidden = true;
    delete document.body.dataset.state;
    this.inert(false);
    this.run = 0;
    this.pending.clear();
    this.worker = this.spawn();
  }

  private keys(): void {
    addEventListener("keydown", (event) => {
      const target = event.target as HTMLElement;
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) && (target as HTMLInputElement).type !== "range" && (target as HTMLInputElement).type !== "checkbox";
      if (typing || event.ctrlKey || event.metaKey || event.altKey || this.help.open) return;
      const near = (forward: boolean) => this.log.near(this.at, forward);
      const acts: Record<string, () => void> = {
        " ": () => this.toggle(),
        ".": () => this.send({ type: "step", ms: 60_000 }),
        r: () => this.begin({ ...this.script, commands: [] }, true, 0),
        ",": () => this.seek(near(false)?.at_ms ?? 0),
        ";": () => { const next = near(true); if (next) this.seek(next.at_ms); },
        "?": () => this.help.showModal(),
      };
      const act = acts[event.key];
      if (!act || (event.key === " " && target.tagName === "BUTTON") || (event.key === " " && target.tagName === "SUMMARY")) return;
      event.preventDefault();
      act();
    });
    // For whoever compares runs: the digest, on demand.
    addEventListener("crossfade:digest", () => this.send({ type: "digest", id: 0 }));
  }
}

const app = document.getElementById("app");
const about = document.querySelector<HTMLMetaElement>('meta[name="crossfade"]')?.content.split(" ") ?? [];
if (app && about[0] === "live" && location.search !== "?rehearse") new Live(app, about[1] === "token");
else if (app) new Page(app);
