// What a person can tell the rollout. In a rehearsal it is an entry of the script, in the
// live view a message to the host.

import { h } from "./dom.ts";

export type Command = { command: string; label: string; full?: boolean };

const PAUSE: Command = { command: "pause_rollout", label: "Pause" };
const RESUME: Command = { command: "resume_rollout", label: "Resume" };
const PROMOTE: Command = { command: "promote_rollout", label: "Promote" };
const ABORT: Command = { command: "abort_rollout", label: "Abort" };
const RETRY: Command = { command: "retry_rollout", label: "Retry" };
const UNDO: Command = { command: "undo_rollout", label: "Undo" };

/** Which commands fit which phase; docs/protocol.md has the table. */
const FITTING: Record<string, Command[]> = {
  progressing: [PAUSE, PROMOTE, ABORT],
  held: [PAUSE, PROMOTE, ABORT],
  watching: [PAUSE, PROMOTE, ABORT],
  awaiting_approval: [PROMOTE, PAUSE, ABORT],
  timed_out: [RESUME, PROMOTE, ABORT],
  frozen: [PAUSE, ABORT],
  paused: [RESUME, PROMOTE, ABORT],
  rolling_back: [ABORT],
  rolled_back: [RETRY],
  aborted: [RETRY],
  undone: [RETRY],
  completed: [UNDO],
};

export class Operator {
  readonly root = h("div", { class: "operator", role: "group", "aria-label": "Rollout: what an operator can do" });
  private phase = "";

  /** `idle`: what can be done where no rollout has begun. */
  constructor(private act: (command: Command) => void, private idle: Command[] = []) {}

  update(phase: string): void {
    if (phase === this.phase) return;
    this.phase = phase;
    const focused = this.root.contains(document.activeElement);
    const buttons = (FITTING[phase] ?? (phase === "idle" ? this.idle : [])).map((command) => h("button", { type: "button", class: "quiet", onclick: () => this.act(command) }, command.label));
    this.root.replaceChildren(...buttons);
    if (focused) buttons[0]?.focus();
  }
}
