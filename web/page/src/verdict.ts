// Where the rollout stands, as a sentence with its numbers, and as a bar for each step.

import { h, text } from "./dom.ts";
import { duration, share } from "./format.ts";
import type { Plan, Status, Step, Told } from "./types.ts";

/** What the state is called, and its sign; never by colour alone. */
const STATES: Record<string, { sign: string; word: string; tone: string }> = {
  idle: { sign: "○", word: "Not begun", tone: "muted" },
  progressing: { sign: "●", word: "Running", tone: "v2" },
  held: { sign: "❚❚", word: "Held: evidence is missing", tone: "ink" },
  timed_out: { sign: "◷", word: "Timed out", tone: "ink" },
  awaiting_approval: { sign: "?", word: "Awaits approval", tone: "ink" },
  frozen: { sign: "✱", word: "Frozen", tone: "ink" },
  paused: { sign: "❚❚", word: "Paused by operator", tone: "ink" },
  watching: { sign: "◉", word: "Watching 100 %", tone: "v2" },
  rolling_back: { sign: "▼", word: "Rolling back", tone: "back" },
  completed: { sign: "■", word: "Completed", tone: "ink" },
  rolled_back: { sign: "▼", word: "Rolled back", tone: "back" },
  aborted: { sign: "✕", word: "Aborted", tone: "back" },
  standby: { sign: "◌", word: "Stands by", tone: "muted" },
  undone: { sign: "↶", word: "Undone", tone: "back" },
};

/** The state as a sign and a word. */
export function pill(): { root: HTMLElement; state: (phase: string) => void } {
  const [sign, word] = [h("span", { "aria-hidden": "true" }), h("span")];
  const root = h("span", { class: "pill" }, sign, word);
  const state = (phase: string) => {
    const known = STATES[phase] ?? { sign: "○", word: phase, tone: "muted" };
    text(sign, known.sign);
    text(word, known.word);
    root.dataset.tone = known.tone;
  };
  return { root, state };
}

/** An announcement at most this often. */
const SPEAK_EVERY_MS = 5_000;

export class Verdict {
  readonly root: HTMLElement;
  private lead = h("strong");
  private why = h("span");
  private rail = h("ol", { class: "rail", "aria-label": "Steps of the rollout" });
  private spoken = h("p", { class: "offscreen", role: "status" });
  private spokenAt = -Infinity;
  private steps: { root: HTMLLIElement; time: HTMLElement; proof: HTMLElement; note: HTMLElement }[] = [];
  private plan: Plan | undefined;
  private names: [string, string] = ["v1", "v2"];
  private failedAt = 0;

  /** `idle`: what can be done where no rollout has begun. */
  constructor(private idle: string) {
    this.root = h("section", { class: "verdict", id: "verdict", tabIndex: -1, "aria-label": "Verdict" }, h("h1", { class: "headline" }, this.lead), h("p", { class: "why" }, this.why), this.rail, this.spoken);
  }

  reset(plan: Plan, names: [string, string]): void {
    this.plan = plan;
    this.names = names;
    this.failedAt = 0;
    this.spokenAt = -Infinity;
    this.steps = plan.rollout.steps.map((step, at) => {
      const parts = { root: h("li"), time: h("i", { class: "time" }), proof: h("i", { class: "proof" }), note: h("small", { class: "num" }) };
      parts.root.append(h("span", { class: "bars" }, h("span", {}, parts.time), h("span", {}, parts.proof)), h("b", {}, share(step.percentage)), parts.note);
      parts.root.setAttribute("aria-label", `Step ${at + 1}: ${share(step.percentage)}`);
      text(parts.note, length(step));
      return parts;
    });
    this.rail.replaceChildren(...this.steps.map((step) => step.root));
    text(this.lead, "No rollout has begun.");
    text(this.why, this.idle);
  }

  update(status: Status, healthy: number, events: Told[]): void {
    const fresh = this.names[1];
    const rollback = events.findLast((told) => told.event.event === "rollback_started");
    const over = ["rolled_back", "rolling_back", "aborted", "undone"].includes(status.phase);
    this.failedAt = over ? (rollback?.event.step ?? status.step) : 0;
    text(this.lead, headline(status, fresh));
    const said = status.phase === "idle" ? this.idle : over && rollback ? rollback.event.sentence : status.reason;
    text(this.why, said.replace(/^Rollback from [\d.]+ % in step \d+\. /, ""));
    this.bars(status, healthy);
    const now = performance.now();
    if (now - this.spokenAt > SPEAK_EVERY_MS) {
      this.spokenAt = now;
      text(this.spoken, headline(status, fresh));
    }
  }

  /** Another server leads, at this address if that is known, or none does. */
  standby(leader: string | null): void {
    text(this.lead, "This server stands by.");
    text(this.spoken, "This server stands by.");
    const later = "As soon as this one leads, everything is here, without a reload.";
    if (leader) this.why.replaceChildren("Another one leads, and shows the migration: ", h("a", { href: leader }, leader), `. ${later}`);
    else text(this.why, `Which one leads is not known: perhaps none, because the store cannot be reached. Edges keep the policy that they have. ${later}`);
    this.steps = [];
    this.rail.replaceChildren();
  }

  private bars(status: Status, healthy: number): void {
    const current = status.step;
    this.steps.forEach((parts, at) => {
      const step = this.plan?.rollout.steps[at];
      if (!step) return;
      const number = at + 1;
      const done = number < current || status.phase === "completed";
      const now = number === current && !done;
      const failed = this.failedAt === number;
      parts.root.className = failed ? "failed" : done ? "done" : now ? "now" : "";
      if (now) parts.root.setAttribute("aria-current", "step");
      else parts.root.removeAttribute("aria-current");
      const asked = (step.duration_minutes ?? 0) + (step.watch_minutes ?? 0);
      const time = asked > 0 ? Math.min(1, status.step_minutes / asked) : 1;
      const proof = status.verdict === "healthy" ? 1 : Number.isNaN(healthy) ? 0 : Math.max(0, Math.min(1, healthy));
      parts.time.style.width = `${done ? 100 : now ? time * 100 : 0}%`;
      parts.proof.style.width = `${done ? 100 : now ? proof * 100 : 0}%`;
      const left = (asked - status.step_minutes) * 60_000;
      text(parts.note, failed ? "taken back" : now && !failed ? (left > 500 ? `${duration(left)} left` : proof < 1 ? "waits for proof" : "proven") : length(step));
    });
  }
}

function length(step: Step): string {
  if (step.watch_minutes) return `watch ${duration(step.watch_minutes * 60_000)}`;
  if (step.evidence === "auto") return "until proven";
  return duration((step.duration_minutes ?? 0) * 60_000) + (step.approval === "manual" ? ", then you" : "");
}

function headline(status: Status, fresh: string): string {
  const where = `Step ${status.step} of ${status.steps}: ${share(status.percentage)} to ${fresh}`;
  switch (status.phase) {
    case "idle":
      return "No rollout has begun.";
    case "progressing":
      return status.verdict === "healthy" ? `${where}, proven healthy.` : `${where}.`;
    case "held":
      return `${where}, held: there is no proof yet.`;
    case "timed_out":
      return `${where}, timed out without proof: somebody has to decide.`;
    case "awaiting_approval":
      return `${where} is healthy, and awaits approval.`;
    case "frozen":
      return `${where}, frozen.`;
    case "paused":
      return `${where}, paused by an operator.`;
    case "watching":
      return `All requests go to ${fresh}; its health is watched.`;
    case "rolling_back":
      return `Rolling ${fresh} back.`;
    case "rolled_back":
      return `Rolled back in step ${status.step}: ${fresh} is worse.`;
    case "completed":
      return `Completed: ${share(status.percentage)} to ${fresh}.`;
    case "aborted":
      return `Aborted in step ${status.step} by an operator.`;
    case "undone":
      return "Undone by an operator.";
    default:
      return where;
  }
}
