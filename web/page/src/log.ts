// What was decided, when and why. A click goes there.

import { card, h, text } from "./dom.ts";
import { clock, count } from "./format.ts";
import type { Told } from "./types.ts";

const SIGNS: Record<string, string> = {
  step_started: "→", step_passed: "✓", held: "❚❚", timed_out: "◷", approval_needed: "?", frozen: "✱", paused: "❚❚", resumed: "▶",
  promoted: "»", rollback_started: "▼", rolled_back: "▼", stepped_back: "▼", aborted: "✕", undone: "↶", completed: "■", watch_started: "◉",
  retried: "↻", guard_tripped: "!", refused: "!",
};

/** What differs where there is no going back in time. */
export interface Live {
  time: (ms: number) => string;
  /** The same at an axis. */
  axis?: (ms: number) => string;
  /** Fetches what was before the oldest that is known. */
  older?: () => void;
}

const WORDS: Record<string, string> = {
  step_started: "Step", step_passed: "Passed", held: "Held", timed_out: "Timed out", approval_needed: "Approval", frozen: "Frozen", paused: "Paused",
  resumed: "Resumed", promoted: "Promoted", rollback_started: "Rollback", rolled_back: "Back on v1", stepped_back: "Stepped back", aborted: "Aborted",
  undone: "Undone", completed: "Completed", watch_started: "Watching", retried: "Retried", guard_tripped: "Guard", refused: "Refused",
};

/** Decisions that are shown at first, and that each press on "Show older" adds. */
const SHOWN = 100;

export class Log {
  readonly root: HTMLElement;
  private shown = SHOWN;
  private older = h("button", { type: "button", class: "quiet older", hidden: true, onclick: () => this.press() }, "");
  private list = h("ol", { class: "log" });
  private empty = h("p", { class: "empty" }, "Nothing was decided yet. The first step begins when you press play.");
  private events: Told[] = [];
  /** Whether there are more that were not fetched. */
  private more = false;

  constructor(private seek: (ms: number) => void, private old: () => string, private live?: Live) {
    const { root, body } = card("decisions", "Decisions", live ? "who did what, and why" : "click one to go there");
    this.root = root;
    if (live) text(this.empty, "Nothing was decided yet.");
    body.append(this.empty, h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Decisions, oldest first" }, this.older, this.list));
  }

  get all(): Told[] {
    return this.events;
  }

  reset(): void {
    this.events = [];
    this.more = false;
    this.shown = SHOWN;
    this.list.replaceChildren();
    this.trim();
    this.empty.hidden = false;
  }

  /** Takes up events that are not known yet; they come in order. */
  add(events: Told[]): boolean {
    const last = this.events.at(-1);
    // After a step back in time the same events come again.
    const fresh = events.filter((told) => !last || told.at_ms > last.at_ms || (told.at_ms === last.at_ms && !this.events.some((known) => known.at_ms === told.at_ms && known.event.sentence === told.event.sentence)));
    if (fresh.length === 0) return false;
    this.empty.hidden = true;
    this.events.push(...fresh);
    this.list.append(...fresh.slice(-this.shown).map((told) => this.entry(told)));
    this.trim();
    const scroll = this.list.parentElement;
    if (scroll && !scroll.matches(":focus-within")) scroll.scrollTop = scroll.scrollHeight;
    return true;
  }

  /** Takes up what was before all that is known, and whether there is more before that. */
  before(events: Told[], more: boolean): void {
    this.more = more;
    this.events.unshift(...events);
    if (events.length > 0) this.showOlder();
    else this.trim();
  }

  /** Leaves only the newest in the list, and says how many there are before them. */
  private trim(): void {
    while (this.list.childElementCount > this.shown) this.list.firstElementChild?.remove();
    const hidden = this.events.length - this.list.childElementCount;
    this.older.hidden = hidden === 0 && !this.more;
    text(this.older, this.more ? "Show older" : `Show older (${count(hidden)})`);
  }

  private press(): void {
    if (this.events.length > this.list.childElementCount) this.showOlder();
    else this.live?.older?.();
  }

  private showOlder(): void {
    const hidden = this.events.length - this.list.childElementCount;
    const from = Math.max(0, hidden - SHOWN);
    this.list.prepend(...this.events.slice(from, hidden).map((told) => this.entry(told)));
    this.shown += SHOWN;
    this.trim();
    if (this.older.hidden) this.list.parentElement?.focus();
  }

  /** Forgets what comes after a moment: it will go otherwise now. */
  truncate(ms: number): void {
    const kept = this.events.filter((told) => told.at_ms <= ms);
    this.reset();
    this.add(kept);
  }

  /** The event before or after a moment. */
  near(ms: number, forward: boolean): Told | undefined {
    return forward ? this.events.find((told) => told.at_ms > ms + 500) : this.events.findLast((told) => told.at_ms < ms - 500);
  }

  private entry(told: Told): HTMLLIElement {
    const { event, sentence } = told.event;
    const kind = event === "rolled_back" ? `Back on ${this.old()}` : (WORDS[event] ?? event.charAt(0).toUpperCase() + event.slice(1).replaceAll("_", " "));
    const time = (this.live?.time ?? clock)(told.at_ms);
    const parts = [h("time", { class: "num" }, time), h("b", {}, h("span", { "aria-hidden": "true" }, SIGNS[event] ?? "·"), ` ${kind}`), h("span", {}, sentence)];
    const entry = this.live ? h("div", { class: "entry" }, ...parts) : h("button", { type: "button", class: "entry", onclick: () => this.seek(told.at_ms) }, ...parts);
    return h("li", { class: event === "rollback_started" || event === "aborted" ? "back" : "" }, entry);
  }
}
