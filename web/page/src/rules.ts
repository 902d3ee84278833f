// Who goes where whatever the share is: named clients, and rules on what a request says.
// What is rarer than that (conditions within conditions) stays in the plan's JSON.

import { h, icon } from "./dom.ts";
import { names } from "./defaults.ts";
import type { Plan } from "./types.ts";

type Rule = Record<string, unknown>;
type Change = (act: (plan: Plan) => void) => void;

const CROSS = "M4 4l8 8M12 4l-8 8";

/** The tests of an attribute that are edited here, and how they are said. */
const TESTS = { equals: "is", in: "is one of", prefix: "begins with", semver: "is a version" } as const;
type Test = keyof typeof TESTS;

/** A rule on one attribute that leads to one version or splits between the two. */
interface Simple {
  attribute: string;
  test: Test;
  value: string;
  /** A version's name, or how many percent the newest one gets. */
  to: string | number;
}

/** A rule as it is edited here; `undefined` when it says more than that. */
function simple(rule: Rule, [old, fresh]: [string, string]): Simple | undefined {
  const when = rule.when as Record<string, unknown> | undefined;
  if (!when || typeof when.attribute !== "string") return undefined;
  const tests = Object.keys(when).filter((name) => name !== "attribute");
  const [test] = tests as [Test];
  if (tests.length !== 1 || !(test in TESTS)) return undefined;
  const given = when[test];
  const value = Array.isArray(given) ? given.join(", ") : String(given);
  const split = rule.split as Record<string, number> | undefined;
  if (typeof rule.to === "string") return { attribute: when.attribute, test, value, to: rule.to };
  if (!split || Object.keys(split).some((version) => version !== old && version !== fresh)) return undefined;
  const [a, b] = [split[old] ?? 0, split[fresh] ?? 0];
  return { attribute: when.attribute, test, value, to: Number(((100 * b) / (a + b)).toFixed(2)) };
}

function words(text: string): string[] {
  return text.split(",").map((word) => word.trim()).filter((word) => word !== "");
}

/** Writes a rule as a plan has it. */
function written(rule: Rule, { attribute, test, value, to }: Simple, [old, fresh]: [string, string]): Rule {
  const when = { attribute, [test]: test === "in" ? words(value) : value };
  const { to: _, split: __, ...rest } = rule;
  return { ...rest, when, ...(typeof to === "string" ? { to } : { split: { [old]: 100 - to, [fresh]: to } }) };
}

/** A line of text with a name that is seen. */
function line(label: string, value: string, placeholder: string, change: (value: string) => void): HTMLLabelElement {
  const input = h("input", { type: "text", value, placeholder, autocomplete: "off", spellcheck: false });
  input.addEventListener("change", () => change(input.value.trim()));
  return h("label", { class: "field" }, h("span", {}, label), input);
}

function pick(label: string, value: string, options: [string, string][], change: (value: string) => void): HTMLLabelElement {
  const select = h("select", {}, ...options.map(([id, name]) => h("option", { value: id, selected: id === value }, name)));
  select.addEventListener("change", () => change(select.value));
  return h("label", { class: "field" }, h("span", {}, label), select);
}

/** Named clients and rules of a plan; `change` begins a run with another one. */
export function rules(plan: Plan, change: Change): HTMLElement {
  const both = names(plan);
  const list = (plan.rules ?? []).map((rule, at) => row(plan, rule, at, both, change));
  const add = h("button", { type: "button", class: "quiet", onclick: () => change((plan) => {
    const taken = new Set((plan.rules ?? []).map((rule) => rule.name));
    let number = 1;
    while (taken.has(`rule-${number}`)) number += 1;
    plan.rules = [...(plan.rules ?? []), { name: `rule-${number}`, when: { attribute: "app", equals: "ios" }, to: both[0] }];
  }) }, "Add a rule");
  return h("div", { class: "rules", role: "group", "aria-label": "Rules" },
    h("div", { class: "fields" }, ...both.map((version) => pinned(plan, version, change))),
    ...(list.length > 0 ? [h("ol", {}, ...list)] : []), add,
    h("p", { class: "note" }, "Pins come first, then the first rule that matches. Clients here say ", h("code", {}, "app"), ": web, ios, android or partner."));
}

/** Keys that a version serves, whatever else is decided. */
function pinned(plan: Plan, version: string, change: Change): HTMLElement {
  const pins = (plan.pins ?? {}) as Record<string, string>;
  const keys = Object.keys(pins).filter((key) => pins[key] === version);
  return line(`Always on ${version}`, keys.join(", "), "c17, c42", (value) => change((plan) => {
    const kept = Object.entries((plan.pins ?? {}) as Record<string, string>).filter(([, to]) => to !== version);
    const pins = Object.fromEntries([...kept, ...words(value).map((key) => [key, version])]);
    if (Object.keys(pins).length > 0) plan.pins = pins;
    else delete plan.pins;
  }));
}

function row(plan: Plan, rule: Rule, at: number, both: [string, string], change: Change): HTMLElement {
  const name = String(rule.name ?? at + 1);
  const drop = h("button", { type: "button", class: "quiet square", "aria-label": `Remove rule ${name}`, onclick: () => change((plan) => {
    plan.rules = (plan.rules ?? []).filter((_, place) => place !== at);
    if (plan.rules.length === 0) delete plan.rules;
  }) }, icon(CROSS));
  const head = h("div", { class: "rule-head" }, h("b", {}, name), drop);
  const known = simple(rule, both);
  if (!known) return h("li", {}, head, h("p", { class: "note" }, "It says more than is edited here: see the plan as JSON."));
  const [old, fresh] = both;
  const set = (part: Partial<Simple>) => change((plan) => {
    const now = plan.rules?.[at];
    if (plan.rules && now) plan.rules[at] = written(now, { ...known, ...part }, both);
  });
  const places = (plan.attributes ?? {}) as Record<string, { header?: string; cookie?: string }>;
  const place = places[known.attribute];
  const where: [string, string][] = [[old, `goes to ${old}`], [fresh, `goes to ${fresh}`], ["split", "is split, A/B"]];
  const example = { equals: "ios", in: "ios, web", prefix: "part", semver: ">=2.4, <3" }[known.test];
  const parts = [
    line("Attribute", known.attribute, "app", (attribute) => set({ attribute })),
    line("found in header", place?.header ?? "", place?.cookie ? `cookie ${place.cookie}` : "none", (header) => change((plan) => {
      const { [known.attribute]: _, ...rest } = (plan.attributes ?? {}) as Record<string, unknown>;
      const next = header ? { ...rest, [known.attribute]: { header } } : rest;
      if (Object.keys(next).length > 0) plan.attributes = next;
      else delete plan.attributes;
    })),
    pick("Test", known.test, Object.entries(TESTS), (test) => set({ test: test as Test, ...(test === "semver" ? { value: ">=2" } : {}) })),
    line("Value", known.value, example, (value) => set({ value })),
    pick("Whoever matches", typeof known.to === "number" ? "split" : known.to, where, (to) => set({ to: to === "split" ? 50 : to })),
  ];
  if (typeof known.to === "number") {
    const share = h("input", { type: "number", min: 0, max: 100, step: "any", value: String(known.to), inputMode: "decimal" });
    share.addEventListener("change", () => set({ to: Number(share.value) }));
    parts.push(h("label", { class: "field" }, h("span", {}, `of them on ${fresh}`, h("small", {}, " %")), share));
  }
  // The same names for each rule would say nothing to who does not see them.
  for (const part of parts) part.querySelector("input, select")?.setAttribute("aria-label", `${part.querySelector("span")?.textContent} of rule ${name}`);
  return h("li", {}, head, h("div", { class: "fields" }, ...parts));
}
