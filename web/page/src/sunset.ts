// May the old version be switched off, and what stands in the way?

import { card, h, text } from "./dom.ts";
import { count, duration } from "./format.ts";
import type { Store } from "./store.ts";
import type { Sunset as Answer } from "./types.ts";

const TITLES: Record<string, string> = {
  share: "Everything is sent to the new version",
  quiet: "The old one has served nobody for a day",
  clients: "No client was last seen on the old one",
  counted: "Every client was counted",
  rollout: "The rollout was not taken back",
};

export class Sunset {
  readonly root: HTMLElement;
  private answer = h("p", { class: "answer" }, "Not yet");
  private when = h("p", { class: "note" }, "");
  private list = h("ul", { class: "checks" });

  constructor() {
    const { root, body } = card("sunset", "May the old version be switched off?");
    this.root = root;
    body.append(this.answer, this.list, this.when);
  }

  update(sunset: Answer, store: Store, names: [string, string]): void {
    text(this.answer, sunset.ready ? "Yes" : "Not yet");
    this.answer.dataset.ready = String(sunset.ready);
    const items = sunset.checks.map((check) => {
      const title = (TITLES[check.check] ?? check.check).replace("the new version", names[1]).replace("the old one", names[0]).replace("The old one", names[0]);
      return h("li", { class: check.ok ? "ok" : "" }, h("span", { class: "mark", "aria-hidden": "true" }, check.ok ? "✓" : "○"), h("span", {}, h("span", { class: "offscreen" }, check.ok ? "Done: " : "Open: "), title, h("small", { class: "num" }, detail(check.detail))));
    });
    this.list.replaceChildren(...items);
    text(this.when, sunset.ready ? `${names[0]} can be switched off.` : estimate(store, names[0]));
  }
}

/** The engine's detail with longer stretches as people say them. */
const detail = (said: string): string => said.replace(/(\d+) minutes ago, (\d+) are asked for/, (_, ago: string, asked: string) => `${duration(Number(ago) * 60_000)} ago, ${duration(Number(asked) * 60_000)} are asked for`);

/** When the last client may have left, if they go on leaving as they do: the number on
 *  the old version falls by the same part in the same time. */
function estimate(store: Store, old: string): string {
  if (store.length < 24 || store.last("asked_percent") < 100) return "";
  const clients = store.column("v1_clients");
  const last = store.length - 1;
  const left = clients[last]!;
  // Where nobody counts clients, nothing is known of them.
  if (Number.isNaN(left)) return "";
  if (left === 0) return "All clients have left; now it has to stay quiet.";
  const from = store.at(store.end - Math.min(store.end / 2, 6 * 3_600_000));
  const before = clients[from]!;
  const passed = store.end - store.column("to_ms")[from]!;
  if (before <= left || passed <= 0) return `${count(left)} clients are still on ${old}, and none leaves at present.`;
  const rate = Math.log(before / left) / passed;
  const wait = Math.log(left / 0.5) / rate;
  return wait > 60 * 86_400_000 ? `${count(left)} clients are still on ${old}; at this rate that takes more than two months.` : `${count(left)} clients are still on ${old}; at this rate the last one leaves in about ${duration(wait)}.`;
}
