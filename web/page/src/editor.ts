// The scenario: what goes wrong, the plan, the traffic. A change of plan or traffic begins
// a new run; a fault that is changed during a run is a change from now on, so that a link
// and the scrubber replay it.

import { card, h, icon, keepingFocus, text } from "./dom.ts";
import { Faults } from "./faults.ts";
import { rules } from "./rules.ts";
import type { NamedScenario, Plan, Problem, Script, Step, Traffic } from "./types.ts";

export interface EditorActions {
  /** Begin anew with this script. */
  restart: (script: Script, play: boolean) => void;
  /** Go on with this script, which differs only from now on. */
  amend: (script: Script) => void;
  /** Where the run is. */
  now: () => number;
  /** When steps began, the first one first. */
  begun: () => number[];
}

const CROSS = "M4 4l8 8M12 4l-8 8";

/** A number with a label; calls back with numbers only. */
function number(label: string, value: number | undefined, options: { min?: number; max?: number; step?: number; unit?: string; hint?: string }, change: (value: number | undefined) => void): HTMLLabelElement {
  const input = h("input", { type: "number", value: value === undefined ? "" : String(value), min: options.min, max: options.max, step: options.step ?? "any", inputMode: "decimal" });
  input.addEventListener("change", () => change(input.value === "" ? undefined : Number(input.value)));
  return h("label", { class: "field" }, h("span", {}, label, options.unit ? h("small", {}, ` ${options.unit}`) : null), input, options.hint ? h("small", { class: "hint" }, options.hint) : null);
}

function choice(label: string, value: string, options: [string, string][], change: (value: string) => void): HTMLLabelElement {
  const select = h("select", {}, ...options.map(([id, name]) => h("option", { value: id, selected: id === value }, name)));
  select.addEventListener("change", () => change(select.value));
  return h("label", { class: "field" }, h("span", {}, label), select);
}

export class Editor {
  readonly roots: HTMLElement[];
  private script: Script;
  private faults: Faults;
  private presets = h("div", { class: "presets", role: "group", "aria-label": "Scenarios" });
  private about = h("p", { class: "note" });
  private plan: HTMLElement;
  private traffic: HTMLElement;
  private problems: Record<"plan" | "traffic" | "faults", HTMLUListElement>;
  private scenarios: NamedScenario[] = [];

  constructor(script: Script, private actions: EditorActions) {
    this.script = script;
    const scenario = card("scenario", "What if…");
    const plan = card("plan", "The plan");
    const traffic = card("traffic", "The traffic");
    this.problems = { plan: h("ul"), traffic: h("ul"), faults: h("ul") };
    const told = (list: HTMLElement) => h("div", { class: "problems", role: "alert" }, list);
    this.faults = new Faults({ ...actions, changed: (faults, live) => this.faultsChanged(faults, live) });
    scenario.body.append(this.presets, this.about, told(this.problems.faults), this.faults.root);
    this.plan = h("div");
    plan.body.append(told(this.problems.plan), this.plan);
    this.traffic = h("div");
    traffic.body.append(told(this.problems.traffic), this.traffic);
    this.roots = [scenario.root, plan.root, traffic.root];
    this.show(script);
  }

  offer(scenarios: NamedScenario[]): void {
    this.scenarios = scenarios;
    this.presets.replaceChildren(...scenarios.map((scenario) => h("button", { type: "button", class: "preset", onclick: () => this.preset(scenario) }, scenario.title)));
    this.mark();
  }

  private preset(scenario: NamedScenario): void {
    this.script = { ...this.script, faults: structuredClone(scenario.faults) as unknown as Script["faults"], commands: [] };
    this.restart(this.script, true);
  }

  private mark(): void {
    const faults = JSON.stringify(this.script.faults);
    const chosen = this.scenarios.find((scenario) => JSON.stringify(scenario.faults) === faults);
    [...this.presets.children].forEach((button, at) => button.setAttribute("aria-pressed", String(this.scenarios[at] === chosen)));
    text(this.about, chosen ? chosen.about : this.scenarios.length > 0 ? "A scenario of your own." : "");
  }

  /** Shows the script that is in force. */
  show(script: Script): void {
    this.script = script;
    this.refuse([]);
    this.faults.show(script);
    keepingFocus(this.plan, () => this.showPlan());
    keepingFocus(this.traffic, () => this.showTraffic());
    this.mark();
  }

  /** What is wrong with the last change; the run before it goes on. */
  refuse(problems: Problem[]): void {
    const of = (path: string) => (path.startsWith("plan") ? "plan" : path.startsWith("traffic") ? "traffic" : "faults");
    for (const [where, list] of Object.entries(this.problems)) {
      list.replaceChildren(...problems.filter((problem) => of(problem.path) === where).map((problem) => h("li", {}, h("code", {}, problem.path.replace(/^(plan|traffic)\./, "")), ` ${problem.message}`)));
    }
  }

  /** Until the engine has agreed, what was typed is what the next change is made to: two
   *  numbers may be right only together. */
  private restart(script: Script, play: boolean): void {
    this.script = script;
    this.actions.restart(script, play);
  }

  private faultsChanged(faults: Script["faults"], live: boolean): void {
    this.script = { ...this.script, faults };
    this.mark();
    if (live) this.actions.amend(this.script);
    else this.restart(this.script, false);
  }

  private planChanged(change: (plan: Plan) => void): void {
    const plan = structuredClone(this.script.plan);
    change(plan);
    this.restart({ ...this.script, plan, commands: [] }, false);
  }

  private showPlan(): void {
    const { plan } = this.script;
    const steps = plan.rollout.steps;
    const last = steps.length - 1;
    const cell = (label: string, value: number | undefined, change: (step: Step, n: number | undefined) => void, at: number) => {
      const input = h("input", { type: "number", min: 0, step: "any", value: value === undefined ? "" : String(value), "aria-label": `${label} of step ${at + 1}` });
      input.addEventListener("change", () => this.planChanged((plan) => {
        const step = plan.rollout.steps[at];
        if (step) change(step, input.value === "" ? undefined : Number(input.value));
      }));
      return h("td", {}, input);
    };
    const set = (name: "percentage" | "duration_minutes" | "watch_minutes" | "max_minutes") => (step: Step, n: number | undefined) => {
      if (n === undefined) delete step[name];
      else step[name] = n;
    };
    const rows = steps.map((step, at) => {
      const watched = at === last && step.watch_minutes !== undefined;
      const drop = h("button", { type: "button", class: "quiet square", "aria-label": `Remove step ${at + 1}`, disabled: steps.length < 2, onclick: () => this.planChanged((plan) => plan.rollout.steps.splice(at, 1)) }, icon(CROSS));
      return h("tr", {}, cell("Percent", step.percentage, set("percentage"), at), watched ? cell("Minutes watched", step.watch_minutes, set("watch_minutes"), at) : cell("Minutes", step.duration_minutes, set("duration_minutes"), at), cell("At most minutes", step.max_minutes, set("max_minutes"), at), h("td", {}, drop));
    });
    const table = h("table", { class: "steps" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Percent"), h("th", { scope: "col" }, "Minutes"), h("th", { scope: "col" }, "At most"), h("th", { scope: "col" }, h("span", { class: "offscreen" }, "Remove")))), h("tbody", {}, ...rows));
    const add = h("button", { type: "button", class: "quiet", onclick: () => this.planChanged((plan) => {
      const steps = plan.rollout.steps;
      const before = steps.at(-2)?.percentage ?? 0;
      const after = steps.at(-1)?.percentage ?? 100;
      steps.splice(steps.length - 1, 0, { percentage: Math.round((before + after) / 2), duration_minutes: 10 });
    }) }, "Add a step");
    const gate = plan.gate ?? {};
    const failures = gate.failures ?? {};
    const change = (act: (gate: NonNullable<Plan["gate"]>) => void) => this.planChanged((plan) => {
      plan.gate = { ...plan.gate, failures: { ...plan.gate?.failures } };
      act(plan.gate);
    });
    const latency = h("input", { type: "checkbox", checked: gate.latency !== undefined });
    latency.addEventListener("change", () => change((gate) => {
      if (latency.checked) gate.latency = {};
      else delete gate.latency;
    }));
    const fields = h("div", { class: "fields" },
      number("Worse above", failures.margin ?? 1, { min: 1, max: 10, step: 0.1, unit: "× v1" }, (n) => change((gate) => { gate.failures!.margin = n ?? 1; })),
      number("Tolerated", failures.not_worse?.ratio ?? 1.5, { min: 1.01, max: 10, step: 0.1, unit: "× v1" }, (n) => change((gate) => { gate.failures!.not_worse = { ...failures.not_worse, ratio: n ?? 1.5 }; })),
      number("False alarms", (failures.alpha ?? 0.005) * 100, { min: 0.01, max: 50, step: 0.1, unit: "% at most" }, (n) => change((gate) => { gate.failures!.alpha = (n ?? 0.5) / 100; })),
      choice("Without proof", gate.on_inconclusive ?? "hold", [["hold", "hold the step"], ["advance", "go on"]], (value) => change((gate) => { gate.on_inconclusive = value as "hold" | "advance"; })));
    const whom = rules(plan, (act) => this.planChanged(act));
    const json = h("textarea", { rows: 14, spellcheck: false, value: JSON.stringify(plan, null, 2), "aria-label": "The plan document as JSON" });
    const apply = h("button", { type: "button", class: "quiet", onclick: () => this.applyJson(json.value) }, "Use this plan");
    const open = this.plan.querySelector("details")?.open ?? false;
    this.plan.replaceChildren(table, add, fields, h("label", { class: "check" }, latency, "The gate looks at latency, too"), h("h3", {}, "Who goes where anyway"), whom,
      h("details", { open }, h("summary", {}, "The whole plan, as JSON"), json, apply, h("p", { class: "note" }, "Every field is checked as ", h("code", {}, "crossfade check"), " does.")));
  }

  private applyJson(value: string): void {
    try {
      const plan = JSON.parse(value) as Plan;
      if (!Array.isArray(plan?.rollout?.steps)) {
        this.refuse([{ path: "plan.rollout.steps", message: "is missing: there are no steps to play" }]);
        return;
      }
      this.restart({ ...this.script, plan, commands: [] }, false);
    } catch (error) {
      this.refuse([{ path: "plan", message: `is not JSON: ${error instanceof Error ? error.message : String(error)}` }]);
    }
  }

  private showTraffic(): void {
    const { traffic, seed } = this.script;
    const change = (act: (traffic: Traffic) => void) => {
      const next = structuredClone(traffic);
      act(next);
      this.restart({ ...this.script, traffic: next, commands: [] }, false);
    };
    const mixes: [keyof Traffic["mix"], string][] = [["whales", "Whales"], ["bursty", "Bursty"], ["nightly", "Nightly jobs"], ["monthly", "Monthly jobs"], ["sleepers", "Sleepers"], ["arrivals", "New arrivals"]];
    const mix = h("div", { class: "fields" }, ...mixes.map(([name, label]) => number(label, traffic.mix[name], { min: 0, max: 90, step: 0.1, unit: "%" }, (n) => change((t) => { t.mix[name] = n ?? 0; }))));
    const fields = h("div", { class: "fields" },
      number("Requests a second", traffic.rps, { min: 0.1, max: 5000 }, (n) => change((t) => { t.rps = n ?? 0; })),
      number("Clients", traffic.clients, { min: 10, max: 20_000, step: 1 }, (n) => change((t) => { t.clients = n ?? 0; })),
      number("Fail today", traffic.failure_percent, { min: 0, max: 50, step: 0.1, unit: "%" }, (n) => change((t) => { t.failure_percent = n ?? 0; })),
      number("Median latency", traffic.median_ms, { min: 0, max: 60_000, unit: "ms" }, (n) => change((t) => { t.median_ms = n ?? 0; })),
      number("Swing of the day", traffic.daily_percent, { min: 0, max: 90, unit: "%" }, (n) => change((t) => { t.daily_percent = n ?? 0; })),
      number("Seed", seed, { min: 0, max: 4_294_967_295, step: 1 }, (n) => this.restart({ ...this.script, seed: Math.max(0, Math.floor(n ?? 0)), commands: [] }, false)));
    const open = this.traffic.querySelector("details")?.open ?? false;
    this.traffic.replaceChildren(fields, h("details", { open }, h("summary", {}, "Who the clients are"), mix, h("p", { class: "note" }, "The rest call steadily.")));
  }
}
