// The list of faults, each a row with its size and time.

import { h, icon, keepingFocus } from "./dom.ts";
import { clock } from "./format.ts";
import { SEGMENTS } from "./defaults.ts";
import type { Fault, Script } from "./types.ts";

interface Actions {
  now: () => number;
  begun: () => number[];
  /** `live`: the change is one from now on. */
  changed: (faults: Fault[], live: boolean) => void;
}

const CROSS = "M4 4l8 8M12 4l-8 8";

/** What each is called, the unit of its size, and its usual size. */
const KINDS: Record<Fault["kind"], { name: string; unit: string; size: number; max: number }> = {
  v2_errors: { name: "v2 fails more often", unit: "×", size: 3, max: 1000 },
  v2_slow: { name: "v2 is slow", unit: "×", size: 2, max: 1000 },
  v1_outage: { name: "v1 fails", unit: "%", size: 10, max: 100 },
  both_fail: { name: "Both fail", unit: "%", size: 8, max: 100 },
  segment_broken: { name: "One segment fails on v2", unit: "%", size: 25, max: 100 },
  bursts: { name: "Bad half-minutes", unit: "%", size: 30, max: 100 },
  metrics_lost: { name: "No metrics", unit: "", size: 0, max: 0 },
};

export class Faults {
  readonly root = h("div", { class: "faults" });
  private script: Script | undefined;

  constructor(private actions: Actions) {}

  show(script: Script): void {
    keepingFocus(this.root, () => this.render(script));
  }

  private render(script: Script): void {
    this.script = script;
    const add = h("select", { class: "add", "aria-label": "Add a fault" }, h("option", { value: "" }, "Add a fault…"), ...Object.entries(KINDS).map(([kind, { name }]) => h("option", { value: kind }, name)));
    add.addEventListener("change", () => this.add(add.value as Fault["kind"]));
    const rows = script.faults.map((fault, at) => this.row(fault, at));
    this.root.replaceChildren(...(rows.length > 0 ? [h("ul", {}, ...rows)] : []), add);
  }

  private get list(): Fault[] {
    return structuredClone(this.script?.faults ?? []);
  }

  /** When a fault begins; `undefined` while its step has not. */
  private begins(fault: Fault): number | undefined {
    if (!fault.from_step) return fault.from_ms ?? 0;
    const began = this.actions.begun()[fault.from_step - 1];
    return began === undefined ? undefined : began + (fault.from_ms ?? 0);
  }

  private isOver(fault: Fault): boolean {
    const begins = this.begins(fault);
    return fault.lasts_ms !== undefined && begins !== undefined && begins + fault.lasts_ms <= this.actions.now();
  }

  private add(kind: Fault["kind"]): void {
    if (!KINDS[kind]) return;
    const now = this.actions.now();
    const fault: Fault = { kind, size: KINDS[kind].size };
    if (kind === "segment_broken") fault.segment = "ios";
    if (now > 0) fault.from_ms = now;
    else fault.from_step = Math.min(2, this.script?.plan.rollout.steps.length ?? 1);
    this.changed([...this.list, fault], now > 0);
  }

  /** A fault that has begun ends now; one that has not is as if it had never been. */
  private drop(at: number): Fault[] {
    const faults = this.list;
    const fault = faults[at];
    if (!fault) return faults;
    const now = this.actions.now();
    const begins = this.begins(fault);
    // What is over stays as it was: the run up to now happened with it.
    if (this.isOver(fault)) return faults;
    if (now > 0 && begins !== undefined && begins < now) fault.lasts_ms = now - begins;
    else faults.splice(at, 1);
    return faults;
  }

  private alter(at: number, change: (fault: Fault) => void): void {
    const now = this.actions.now();
    const before = this.list[at];
    if (!before) return;
    const begins = this.begins(before);
    if (now > 0 && begins !== undefined && begins < now) {
      // What was is left as it was; from now on it is another.
      const next: Fault = { kind: before.kind, size: before.size, from_ms: now };
      if (before.segment) next.segment = before.segment;
      change(next);
      this.changed([...this.drop(at), next], true);
      return;
    }
    const faults = this.list;
    change(faults[at]!);
    this.changed(faults, now > 0);
  }

  private changed(faults: Fault[], live: boolean): void {
    if (this.script) this.script = { ...this.script, faults };
    if (this.script && live) this.show(this.script);
    this.actions.changed(faults, live);
  }

  private row(fault: Fault, at: number): HTMLElement {
    const kind = KINDS[fault.kind];
    const ended = this.isOver(fault);
    const size = h("input", { type: "number", disabled: ended, value: String(fault.size), min: 0, max: kind.max, step: "any", "aria-label": `${kind.name}: how much, in ${kind.unit === "×" ? "times" : "percent"}` });
    size.addEventListener("change", () => this.alter(at, (f) => { f.size = Number(size.value); }));
    const segment = h("select", { "aria-label": "Segment", disabled: ended }, ...SEGMENTS.map((name) => h("option", { value: name, selected: name === fault.segment }, name)));
    segment.addEventListener("change", () => this.alter(at, (f) => { f.segment = segment.value; }));
    const drop = h("button", { type: "button", class: "quiet square", "aria-label": `Remove: ${kind.name}`, disabled: ended, onclick: () => this.changed(this.drop(at), this.actions.now() > 0) }, icon(CROSS));
    return h("li", { class: ended ? "ended" : "" },
      h("span", { class: "what" }, kind.name, h("small", {}, ended ? "over" : when(fault))),
      fault.kind === "segment_broken" ? segment : null,
      kind.unit ? h("span", { class: "size" }, size, h("span", { "aria-hidden": "true" }, kind.unit)) : null, drop);
  }
}

function when(fault: Fault): string {
  const minutes = (fault.from_ms ?? 0) / 60_000;
  const from = fault.from_step ? `from step ${fault.from_step}${minutes ? `, minute ${Number(minutes.toFixed(1))}` : ""}` : fault.from_ms ? `from ${clock(fault.from_ms)}` : "from the beginning";
  return fault.lasts_ms ? `${from}, for ${Number((fault.lasts_ms / 60_000).toFixed(1))} min` : from;
}
