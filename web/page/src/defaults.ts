// The run that a visitor meets first.

import type { Plan, Script, Traffic } from "./types.ts";

export const PLAN: Plan = {
  api: "users",
  versions: { from: "v1", to: "v2" },
  key: { header: "x-user-id" },
  rollout: {
    steps: [
      { percentage: 1, duration_minutes: 10, max_minutes: 120 },
      { percentage: 10, duration_minutes: 10 },
      { percentage: 25, duration_minutes: 10 },
      { percentage: 50, duration_minutes: 15 },
      { percentage: 100, watch_minutes: 20 },
    ],
  },
  gate: { failures: { margin: 1, not_worse: { ratio: 1.5, points: 0.5 }, alpha: 0.005, beta: 0.05 }, latency: {}, on_inconclusive: "hold" },
};

export const TRAFFIC: Traffic = {
  rps: 200,
  clients: 3000,
  failure_percent: 0.4,
  median_ms: 40,
  daily_percent: 30,
  mix: { whales: 0.1, bursty: 10, nightly: 4, monthly: 1, sleepers: 6, arrivals: 4 },
};

export const SEGMENTS = ["web", "ios", "android", "partner"];

export const script = (): Script => structuredClone({ plan: PLAN, seed: 7, traffic: TRAFFIC, faults: [], commands: [] });

/** A script from elsewhere, with what it leaves out. */
export function completed(given: Partial<Script>): Script {
  const base = script();
  return {
    plan: given.plan ?? base.plan,
    seed: given.seed ?? base.seed,
    traffic: { ...base.traffic, ...given.traffic, mix: { ...base.traffic.mix, ...given.traffic?.mix } },
    faults: given.faults ?? [],
    commands: given.commands ?? [],
  };
}

/** The names of the stable and the new version. */
export function names(plan: Plan): [string, string] {
  const { versions } = plan;
  if (Array.isArray(versions)) return [versions[0] ?? "v1", versions.at(-1) ?? "v2"];
  return [versions.from, versions.to];
}

/** How long the plan takes at least, in milliseconds. */
export function planned(plan: Plan): number {
  const minutes = plan.rollout.steps.map((step) => (step.duration_minutes ?? 0) + (step.watch_minutes ?? 0));
  return minutes.reduce((sum, n) => sum + n, 0) * 60_000;
}
