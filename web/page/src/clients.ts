// One square a client, sorted by bucket: a migration is a front that sweeps over them,
// and who does not call is a hole behind it.

import { canvas, card, h, text } from "./dom.ts";
import { clock, count } from "./format.ts";
import { colours, onColours } from "./theme.ts";
import type { ClientCard } from "./types.ts";

const BUCKETS = 10_000;

export class Clients {
  readonly root: HTMLElement;
  private squares: Uint8Array = new Uint8Array();
  private note: HTMLElement;
  private detail: HTMLElement;
  private box: HTMLElement;
  private selected = -1;
  private asked = 0;
  private names: [string, string] = ["v1", "v2"];
  private now = 0;
  private grid = { cell: 4, down: 4, across: 1, left: 0 };
  private redraw: () => void;

  constructor(private ask: (place: number) => void) {
    this.note = h("p", { class: "note" }, "");
    const { root, body } = card("clients", "Clients", this.note);
    this.root = root;
    this.box = h("div", { class: "squares", tabIndex: 0, role: "img", "aria-label": "Clients by bucket", "aria-describedby": "client-detail" });
    body.append(this.box);
    this.detail = h("p", { class: "detail num", id: "client-detail" }, "Point at a square, or use the arrow keys.");
    this.detail.setAttribute("aria-live", "polite");
    const legend = h("p", { class: "legend" }, h("span", {}, h("i", { class: "square hollow" }), "on v1"), h("span", {}, h("i", { class: "square full" }), "on v2"), h("span", {}, h("i", { class: "square none" }), "not seen"), h("span", {}, h("i", { class: "square hurt" }), "met an error of v2"));
    body.append(legend, this.detail);
    const surface = canvas(this.box, () => this.redraw?.());
    this.redraw = () => this.paint(surface.context, surface.size());
    onColours(() => this.redraw());
    this.box.addEventListener("pointermove", (event) => this.point(event));
    this.box.addEventListener("pointerdown", (event) => this.point(event));
    this.box.addEventListener("pointerleave", () => this.select(-1));
    this.box.addEventListener("blur", () => this.select(-1));
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  update(squares: Uint8Array, askedPercent: number, names: [string, string], now: number): void {
    this.squares = squares;
    this.asked = askedPercent;
    this.names = names;
    this.now = now;
    this.redraw();
    if (this.selected >= 0) this.ask(this.selected);
    let [old, fresh, hurt] = [0, 0, 0];
    for (const square of squares) {
      if ((square & 3) === 1) old += 1;
      else if ((square & 3) === 2) fresh += 1;
      if (square & 4) hurt += 1;
    }
    const met = hurt > 0 ? `; ${count(hurt)} met an error of ${names[1]}` : "";
    text(this.note, `${count(old)} on ${names[0]}, ${count(fresh)} on ${names[1]}, ${count(squares.length - old - fresh)} not seen yet${met}`);
    this.box.setAttribute("aria-label", `${count(squares.length)} clients by bucket: ${count(old)} on ${names[0]}, ${count(fresh)} on ${names[1]}`);
  }

  /** What was asked for. */
  show(place: number, card: ClientCard | null): void {
    if (place !== this.selected || !card) return;
    const where = card.version === null ? "not seen yet" : `on ${this.names[card.version] ?? "?"}`;
    const ago = (ms: number | null) => (ms === null ? "never" : `${clock(Math.max(0, this.now - ms))} ago`);
    const hurt = card.was_harmed ? `, met an error of ${this.names[1]}` : "";
    text(this.detail, `${card.key} · ${card.app} · ${card.habit} · bucket ${count(card.bucket)} · ${where}${hurt} · last seen ${ago(card.last_seen_ms)}, on ${this.names[0]} ${ago(card.last_old_ms)}`);
  }

  private select(place: number): void {
    if (place === this.selected) return;
    this.selected = place;
    if (place >= 0) this.ask(place);
    else text(this.detail, "Point at a square, or use the arrow keys.");
    this.redraw();
  }

  private point(event: PointerEvent): void {
    const { cell, down, across, left } = this.grid;
    const box = this.box.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left - left) / cell);
    const y = Math.floor((event.clientY - box.top) / down);
    const place = y * across + x;
    this.select(x >= 0 && x < across && y >= 0 && place < this.squares.length ? place : -1);
  }

  private key(event: KeyboardEvent): void {
    const moves: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.grid.across, ArrowUp: -this.grid.across, Home: -Infinity, End: Infinity };
    const move = moves[event.key];
    if (move === undefined || this.squares.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const from = this.selected < 0 && Number.isFinite(move) ? -move : this.selected;
    this.select(Math.min(this.squares.length - 1, Math.max(0, from + move)));
  }

  private paint(c: CanvasRenderingContext2D, { w, h: height }: { w: number; h: number }): void {
    const all = this.squares.length;
    c.clearRect(0, 0, w, height);
    if (all === 0) return;
    const ink = colours();
    // The largest cell with which all of them fit.
    let cell = Math.max(2, Math.floor(Math.sqrt((w * height) / all)));
    while (cell > 2 && Math.floor(w / cell) * Math.floor(height / cell) < all) cell -= 1;
    cell = Math.min(cell, 16);
    const across = Math.max(1, Math.floor(w / cell));
    const left = Math.floor((w - across * cell) / 2);
    // Rows may be a little farther apart than columns, so that they fill the box.
    const down = Math.max(cell, Math.min(Math.floor(height / Math.ceil(all / across)), Math.ceil(cell * 1.4)));
    this.grid = { cell, down, across, left };
    const gap = cell >= 4 ? 1 : 0;
    const [size, tall] = [cell - gap, down - gap];
    const at = (place: number): [number, number] => [left + (place % across) * cell, Math.floor(place / across) * down];
    const kinds: [number, string, boolean][] = [[0, ink.faint, true], [1, ink.v1, false], [2, ink.v2, true]];
    for (const [kind, tone, full] of kinds) {
      c.fillStyle = tone;
      c.strokeStyle = tone;
      c.lineWidth = 1;
      for (let place = 0; place < all; place += 1) {
        if ((this.squares[place]! & 3) !== kind) continue;
        const [x, y] = at(place);
        if (full || size < 3) c.fillRect(x, y, size, tall);
        else c.strokeRect(x + 0.5, y + 0.5, size - 1, tall - 1);
      }
    }
    c.fillStyle = ink.back;
    const mark = Math.max(2, Math.round(size / 2));
    for (let place = 0; place < all; place += 1) {
      if (!(this.squares[place]! & 4)) continue;
      const [x, y] = at(place);
      c.fillRect(x + (size - mark) / 2, y + (tall - mark) / 2, mark, mark);
    }
    this.front(c, at, { cell, down, across, left }, all, ink.ink);
    if (this.selected >= 0) {
      const [x, y] = at(this.selected);
      c.strokeStyle = ink.ink;
      c.lineWidth = 2;
      c.strokeRect(x - 2, y - 2, size + 4, tall + 4);
    }
  }

  /** Up to where the policy sends clients to the new version. */
  private front(c: CanvasRenderingContext2D, at: (place: number) => [number, number], { cell, down, across, left }: typeof this.grid, all: number, ink: string): void {
    const place = Math.round((all * this.asked * 100) / BUCKETS);
    if (place <= 0 || place >= all) return;
    const [x, y] = at(place);
    c.strokeStyle = ink;
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(left - 1, y + down - 0.5);
    c.lineTo(x - 0.5, y + down - 0.5);
    c.lineTo(x - 0.5, y - 0.5);
    c.lineTo(left + across * cell, y - 0.5);
    c.stroke();
  }
}
