// What the new version answers to copies of requests, before it serves anybody.

import { card, h } from "./dom.ts";
import { count, share } from "./format.ts";

/** The engine's `shadow` in `get_life`. */
export interface Seen {
  compared: number;
  differed: number;
  failures: number;
  dropped: number;
  min_requests: number;
  max_mismatch: number;
}

export class Shadow {
  readonly root: HTMLElement;
  private rows = h("tbody", {});
  private note = h("p", { class: "note" }, "");

  constructor() {
    const { root, body } = card("shadow", "Shadow", "copies of requests, whose answers nobody gets");
    this.root = root;
    root.hidden = true;
    body.append(h("table", { class: "facts" }, this.rows), this.note);
  }

  /** Nothing where the plan has no shadow. */
  update(seen: Seen | null | undefined, newest: string): void {
    this.root.hidden = !seen;
    if (!seen) return;
    const { compared, differed, failures, dropped } = seen;
    const part = (n: number) => (compared > 0 ? `${count(n)} (${share((100 * n) / compared)})` : count(n));
    const facts: [string, string][] = [
      ["Answers compared", `${count(compared)} of ${count(seen.min_requests)} asked for`],
      ["Different status or media type", part(differed)],
      [`Failed at ${newest} alone`, part(failures)],
      ["Copies dropped", count(dropped)],
    ];
    this.rows.replaceChildren(...facts.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "num" }, value))));
    const enough = compared >= seen.min_requests;
    const alike = differed <= seen.max_mismatch * compared;
    const limit = share(100 * seen.max_mismatch);
    this.note.textContent = !enough
      ? "Not enough to tell yet."
      : alike ? `At most ${limit} may differ: ${newest} may serve clients.` : `More than ${limit} differ: ${newest} should not serve clients yet.`;
  }
}
