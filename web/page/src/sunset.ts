// May the old version be switched off, and what stands in the way?

import { card, h, keepingFocus, text } from "./dom.ts";
import { count, duration, percent } from "./format.ts";
import type { Store } from "./store.ts";
import type { Candidate, Sunset as Answer } from "./types.ts";

/** Checks that say nothing while no client is known. */
const OF_CLIENTS = ["clients", "counted"];

const TITLES: Record<string, string> = {
  share: "Everything is sent to the new version",
  quiet: "The old one has served nobody for long enough",
  clients: "No client depends on the old one",
  counted: "Every client was counted",
  rollout: "The rollout was not taken back",
  blocked: "No client is blocked or was sent back",
  brownouts: "All brownouts have passed",
  notice: "Clients had their notice",
};

export class Sunset {
  readonly root: HTMLElement;
  private answer = h("p", { class: "answer" }, "Not yet");
  private when = h("p", { class: "note" }, "");
  private list = h("ul", { class: "checks" });
  private statement = h("p", { class: "statement", hidden: true }, "");
  private left = h("div", { class: "left scroll", tabIndex: 0, role: "region", "aria-label": "Who may call again", hidden: true });
  private order: Order = "again";
  private candidates: Candidate[] = [];

  constructor() {
    const { root, body } = card("sunset", "May the old version be switched off?");
    this.root = root;
    body.append(this.answer, this.statement, this.list, this.when, this.left);
  }

  /** `known`: whether anybody told who called. Nobody is on the old version, too, where
   *  nobody is known; that ticks nothing off. */
  update(sunset: Answer, store: Store, names: [string, string], known: boolean): void {
    // A check that a ledger alone has.
    const counted = hasLedger(sunset);
    const unknown = (check: Answer["checks"][number]) => !known && !counted && check.ok && OF_CLIENTS.includes(check.check);
    const checks = sunset.checks.map((check) => (unknown(check) ? { ...check, ok: false, detail: "no client is known: none was told of" } : check));
    const ready = sunset.ready && checks.every((check) => check.ok);
    text(this.answer, ready ? "Yes" : sunset.ready ? "Perhaps" : "Not yet");
    this.answer.dataset.ready = String(ready);
    const items = checks.map((check) => {
      const title = (TITLES[check.check] ?? check.check).replace("the new version", names[1]).replace(/the old one/i, names[0]);
      return h("li", { class: check.ok ? "ok" : "" }, h("span", { class: "mark", "aria-hidden": "true" }, check.ok ? "✓" : "○"), h("span", {}, h("span", { class: "offscreen" }, check.ok ? "Done: " : "Open: "), title, h("small", { class: "num" }, detail(check.detail))));
    });
    this.list.replaceChildren(...items);
    // Without a ledger all there is to say stands in the checks.
    const statement = counted ? said(sunset.statement ?? "") : "";
    text(this.statement, statement);
    this.statement.hidden = !statement;
    this.who(sunset.candidates ?? []);
    const forecast = !ready && sunset.forecast;
    if (forecast) {
      const late = forecast.high_ms ? `${day(forecast.high_ms)} at the latest` : "perhaps never";
      return text(this.when, `If clients go on leaving as they do, few enough are left on about ${day(forecast.ready_ms)}; ${day(forecast.low_ms)} at the earliest, ${late} (9 times in 10).`);
    }
    text(this.when, ready ? `${names[0]} can be switched off.` : estimate(store, names[0]));
  }

  /** The clients that stand in the way, in the order that was asked for. */
  private who(candidates: Candidate[]): void {
    if (JSON.stringify(candidates) === JSON.stringify(this.candidates)) return;
    this.candidates = candidates;
    this.draw();
  }

  private draw(): void {
    this.left.hidden = this.candidates.length === 0;
    const sign = UPWARDS.includes(this.order) ? 1 : -1;
    // Whoever is not expected is expected last.
    const key = (of: Candidate) => of[this.order] ?? (sign > 0 ? Infinity : -Infinity);
    const rows = this.candidates.toSorted((a, b) => {
      const [first, second] = [key(a), key(b)];
      if (typeof first === "string" && typeof second === "string") return first.localeCompare(second, "en", { numeric: true });
      return first === second ? 0 : sign * (first < second ? -1 : 1);
    });
    const head = HEADS.map(([order, title]) => h("th", { scope: "col", "aria-sort": order === this.order ? (UPWARDS.includes(order) ? "ascending" : "descending") : "none" }, h("button", { type: "button", class: "sort", onclick: () => this.sort(order) }, title)));
    const cells = (of: Candidate) => h("tr", {}, h("th", { scope: "row" }, of.client, of.software ? h("small", {}, of.software) : null), h("td", {}, (of.state ?? "–").replaceAll("_", " "), of.because ? h("small", {}, of.because) : null), h("td", {}, of.expected_ms === undefined ? "–" : day(of.expected_ms)), h("td", {}, of.again === undefined ? "–" : percent(of.again)));
    keepingFocus(this.left, () => this.left.replaceChildren(h("table", { class: "facts" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows.map(cells)))));
  }

  private sort(order: Order): void {
    this.order = order;
    this.draw();
  }
}

/** Whether it is told by a ledger of clients, whom nodes reported. */
export const hasLedger = (sunset: Answer): boolean => sunset.checks.some((check) => check.check === "blocked");

/** 20 Dec, with its year where that is another one. */
function day(ms: number): string {
  const at = new Date(ms);
  const year = at.getUTCFullYear() === new Date().getUTCFullYear() ? "" : ` ${at.getUTCFullYear()}`;
  return `${at.getUTCDate()} ${at.toLocaleDateString("en-GB", { month: "short", timeZone: "UTC" })}${year}`;
}

/** A sentence of the engine, with its moments as people say them. */
const said = (sentence: string): string => sentence.replace(/\d{4}-\d\d-\d\dT(\d\d:\d\d):\d\d(?:\.\d+)?Z/g, (moment, time: string) => `${day(Date.parse(moment))} at ${time} UTC`);

type Order = "client" | "state" | "expected_ms" | "again";
const HEADS: [Order, string][] = [["client", "Client"], ["state", "State"], ["expected_ms", "Next call"], ["again", "Calls again"]];
/** What is sorted upwards; the others have the most at the top. */
const UPWARDS: Order[] = ["client", "state", "expected_ms"];

/** The engine's detail with longer stretches as people say them. */
const detail = (told: string): string => said(told).replaceAll("_", " ").replace(/(: )(\d{4,})$/, (_, colon: string, n: string) => colon + count(Number(n))).replace(/([\d.]+) minutes? ago, and the window is ([\d.]+) minutes?/, (_, ago: string, asked: string) => `${duration(Number(ago) * 60_000)} ago, and the window is ${duration(Number(asked) * 60_000)}`);

const still = (left: number): string => (left === 1 ? "1 client is" : `${count(left)} clients are`);

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
  if (before <= left || passed <= 0) return `${still(left)} still on ${old}, and none leaves at present.`;
  const rate = Math.log(before / left) / passed;
  const wait = Math.log(left / 0.5) / rate;
  return wait > 60 * 86_400_000 ? `${still(left)} still on ${old}; at this rate that takes more than two months.` : `${still(left)} still on ${old}; at this rate the last one leaves in about ${duration(wait)}.`;
}
