// What the parts of the page say to each other. A `Frame` is all that is drawn: a
// simulation in a worker makes frames, and so can a stream from a running host.

import type { ClientCard, NamedScenario, Outcome, Problem, Told } from "./wasm/crossfade_web.js";

export type { ClientCard, NamedScenario, Outcome, Problem, Told };

/** A fault, as a script has it. */
export interface Fault {
  kind: "v2_errors" | "v2_slow" | "v1_outage" | "both_fail" | "segment_broken" | "bursts" | "metrics_lost";
  size: number;
  segment?: string;
  from_step?: number;
  from_ms?: number;
  lasts_ms?: number;
}

/** A step of a plan's rollout. */
export interface Step {
  percentage: number;
  duration_minutes?: number;
  max_minutes?: number;
  approval?: "none" | "manual";
  evidence?: "default" | "auto";
  watch_minutes?: number;
}

/** A plan document, as far as the page edits it; everything else is kept. */
export interface Plan {
  api: string;
  versions: string[] | { from: string; to: string };
  rollout: { steps: Step[]; [field: string]: unknown };
  gate?: {
    failures?: { margin?: number; not_worse?: { ratio?: number; points?: number }; alpha?: number; beta?: number; min_effect?: number };
    latency?: { slo_ms?: number; quantile?: number; slower_than_old?: boolean };
    on_inconclusive?: "hold" | "advance";
    [field: string]: unknown;
  };
  rules?: Array<Record<string, unknown>>;
  /** Versions by key. */
  pins?: Record<string, string>;
  attributes?: Record<string, unknown>;
  [field: string]: unknown;
}

/** Who the clients are, and what they ask. */
export interface Traffic {
  rps: number;
  clients: number;
  failure_percent: number;
  median_ms: number;
  daily_percent: number;
  mix: Record<"whales" | "bursty" | "nightly" | "monthly" | "sleepers" | "arrivals", number>;
}

/** A command of an operator. */
export interface Order {
  at_ms: number;
  command: string;
  full?: boolean;
}

/** Everything that a run depends on. */
export interface Script {
  plan: Plan;
  seed: number;
  traffic: Traffic;
  faults: Fault[];
  commands: Order[];
}

/** The engine's `rollout` reply; see docs/protocol.md, `get_rollout`. */
export interface Status {
  phase: string;
  step: number;
  steps: number;
  percentage: number;
  verdict?: "healthy" | "unhealthy" | "inconclusive";
  evidence?: Evidence;
  reason: string;
  step_minutes: number;
}

export interface Interval {
  low: number | null;
  high: number | null;
}

export interface Evidence {
  verdict: string;
  rule: string;
  failures: null | {
    step: Counts;
    window: Counts;
    ratio: number | null;
    ratio_interval: Interval;
    log_e_worse: number;
    threshold_worse: number;
    log_e_ok: number;
    threshold_ok: number;
    config: { margin: number; not_worse: { ratio: number; points: number }; alpha: number };
  };
  [field: string]: unknown;
}

export interface Counts {
  canary_requests: number;
  canary_failures: number;
  control_requests: number;
  control_failures: number;
}

/** The engine's `sunset` reply. */
export interface Sunset {
  ready: boolean;
  checks: Array<{ check: string; ok: boolean; detail: string }>;
  /** What can be said, and how surely; where clients are counted. */
  statement?: string;
  forecast?: { low_ms: number; ready_ms: number; high_ms?: number | null } | null;
  candidates?: Candidate[];
}

/** A client that may still depend on the old version. */
export interface Candidate {
  client: string;
  software?: string;
  state?: string;
  last_seen_ms?: number;
  requests?: number;
  /** When it is expected to call it next. */
  expected_ms?: number;
  /** Why it stays, as it says. */
  because?: string;
  /** How probable it is that it calls the old version again. */
  again?: number;
}

/** What there is to draw. Everything but the first lines may be missing: it is as before. */
export interface Frame {
  /** Which run it belongs to: frames of an earlier run are dropped. */
  run: number;
  now: number;
  requests: number;
  playing: boolean;
  /** Virtual seconds a second, reached. */
  reached: number;
  rows?: Float64Array;
  events?: Told[];
  status?: Status;
  sunset?: Sunset;
  squares?: Uint8Array;
  dots?: Uint32Array;
  outcome?: Outcome;
}

/** From the page to the worker. */
export type Request =
  | { type: "start"; run: number; script: string; at: number; play: boolean; speed: number }
  | { type: "play"; on: boolean }
  | { type: "speed"; value: number }
  | { type: "seek"; ms: number }
  | { type: "step"; ms: number }
  | { type: "amend"; run: number; script: string; at: number }
  | { type: "client"; place: number }
  | { type: "digest"; id: number };

/** From the worker to the page. */
export type Reply =
  | { type: "ready"; columns: string[]; scenarios: NamedScenario[] }
  | { type: "frame"; frame: Frame }
  | { type: "refused"; run: number; problems: Problem[] }
  | { type: "failed"; message: string; detail: string }
  | { type: "client"; place: number; card: ClientCard | null }
  | { type: "digest"; id: number; digest: string; now: number };
