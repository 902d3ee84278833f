// Requests as they flow: neutral until the router, then in the lane of the version that
// serves them. The lanes' widths are the shares, so the picture is right when nothing
// moves.

import { canvas, card, h, text } from "./dom.ts";
import { compact, percent } from "./format.ts";
import { colours, mayMove, onColours } from "./theme.ts";

/** Dots that are born in a second when traffic is as usual. */
const BIRTHS = 200;
const DOTS_MAX = 900;
/** Seconds from one side to the other with the usual latency. */
const TRAVEL_S = 2.6;
const ROUTER = 0.3;
const LANES = 0.58;
/** Above this speed single dots say nothing; streaks do. */
const STREAKS_FROM = 1_000;

interface Dot {
  at: number;
  /** -1 before the router. */
  lane: number;
  failed: boolean;
  /** Place within the lane, 0 to 1. */
  place: number;
  speed: number;
}

/** What the flow draws. */
export interface Flowing {
  playing: boolean;
  speed: number;
  /** Part of the requests of the last minute that v2 served. */
  share: number;
  asked: number;
  /** Parts of each version's that failed. */
  failing: [number, number];
  /** Median latencies. */
  latency: [number, number];
  /** Requests a virtual second, and what is usual. */
  rate: number;
  usual: number;
  names: [string, string];
}

export class Flow {
  readonly root: HTMLElement;
  private now: Flowing = { playing: false, speed: 1, share: 0, asked: 0, failing: [0, 0], latency: [NaN, NaN], rate: 0, usual: 1, names: ["v1", "v2"] };
  private shown = 0;
  private dots: Dot[] = [];
  private credit = 0;
  private draw: (dt: number) => void;
  private labels: { root: HTMLElement; name: HTMLElement; share: HTMLElement; more: HTMLElement }[] = [];
  private note: HTMLElement;

  constructor() {
    this.note = h("p", { class: "note" }, "");
    const { root, body } = card("requests", "Requests", this.note);
    this.root = root;
    const box = h("div", { class: "flow", role: "img", "aria-label": "Requests flowing to the two versions" });
    body.append(box);
    const surface = canvas(box, () => this.draw?.(0));
    for (const side of [0, 1]) {
      const label = { root: h("div", { class: `lane-label v${side + 1}` }), name: h("strong"), share: h("span", { class: "num" }), more: h("small", { class: "num" }) };
      label.root.append(label.name, label.share, label.more);
      box.append(label.root);
      this.labels.push(label);
    }
    const legend = h("p", { class: "legend" }, h("span", {}, h("i", { class: "dot v1" }), "on v1"), h("span", {}, h("i", { class: "dot v2" }), "on v2"), h("span", {}, h("b", { class: "cross" }, "✕"), "failed"), h("span", { class: "wide" }, "faster dots are served faster"));
    body.append(legend);
    this.draw = (dt) => this.paint(surface.context, surface.size(), dt, box);
    onColours(() => this.draw(0));
  }

  /** A new run: nothing is under way. */
  reset(): void {
    this.dots = [];
    this.shown = 0;
  }

  update(now: Flowing): void {
    this.now = now;
  }

  /** One picture; `dt` seconds have passed. */
  frame(dt: number): void {
    this.draw(dt);
  }

  private paint(c: CanvasRenderingContext2D, { w, h: height }: { w: number; h: number }, dt: number, box: HTMLElement): void {
    if (w === 0) return;
    const ink = colours();
    const { share } = this.now;
    // The lanes glide to their new widths; at once when nothing may move.
    this.shown = mayMove() && dt > 0 ? this.shown + (share - this.shown) * Math.min(1, dt * 6) : share;
    const right = w - 104;
    const thick = Math.min(height * 0.5, 150);
    const gap = height - thick - 28;
    const middle = height / 2;
    const top = middle - thick / 2;
    const shares = [1 - this.shown, this.shown];
    const ends = [14, 14 + shares[0]! * thick + gap];
    /** The upper and lower border of a lane at a place along the way. */
    const lane = (side: number, x: number): [number, number] => {
      const from = top + (side === 0 ? 0 : shares[0]! * thick);
      const to = ends[side]!;
      const t = Math.min(1, Math.max(0, (x - ROUTER) / (LANES - ROUTER)));
      const ease = t * t * (3 - 2 * t);
      const y = from + (to - from) * ease;
      return [y, y + Math.max(shares[side]! * thick, 1.5)];
    };
    c.clearRect(0, 0, w, height);
    const x0 = 8;
    const px = (x: number) => x0 + x * (right - x0);
    const band = (side: number) => {
      const tone = side === 0 ? ink.v1 : ink.v2;
      const paint = c.createLinearGradient(px(ROUTER), 0, px(LANES), 0);
      paint.addColorStop(0, ink.muted);
      paint.addColorStop(1, tone);
      c.fillStyle = paint;
      c.globalAlpha = 0.16;
      c.beginPath();
      for (let x = ROUTER; x <= 1.0001; x += 0.02) c.lineTo(px(x), lane(side, x)[0]);
      for (let x = 1; x >= ROUTER - 0.0001; x -= 0.02) c.lineTo(px(x), lane(side, x)[1]);
      c.fill();
      c.globalAlpha = 1;
      const [a, b] = lane(side, 1);
      c.fillStyle = tone;
      c.fillRect(px(1), a, 3, b - a);
    };
    c.globalAlpha = 0.16;
    c.fillStyle = ink.muted;
    c.fillRect(x0, top, px(ROUTER) - x0, thick);
    c.globalAlpha = 1;
    band(0);
    band(1);
    c.fillStyle = ink.muted;
    c.fillRect(px(ROUTER) - 1, top - 5, 2, thick + 10);
    if (mayMove()) this.live(dt);
    const streaks = this.now.speed >= STREAKS_FROM;
    for (const dot of this.dots) {
      const side = dot.lane;
      const [a, b] = side < 0 ? [top, top + thick] : lane(side, dot.at);
      const inset = Math.min(3.5, (b - a) / 2);
      const y = a + inset + dot.place * Math.max(0, b - a - 2 * inset);
      const x = px(dot.at);
      if (dot.failed && dot.at > LANES + 0.1) {
        c.strokeStyle = ink.ink;
        c.lineWidth = 1.75;
        c.beginPath();
        c.moveTo(x - 3.5, y - 3.5);
        c.lineTo(x + 3.5, y + 3.5);
        c.moveTo(x + 3.5, y - 3.5);
        c.lineTo(x - 3.5, y + 3.5);
        c.stroke();
        continue;
      }
      c.fillStyle = side < 0 ? ink.muted : side === 0 ? ink.v1 : ink.v2;
      if (streaks) {
        c.globalAlpha = 0.7;
        c.fillRect(x - 12, y - 1, 14, 2);
        c.globalAlpha = 1;
      } else {
        c.beginPath();
        c.arc(x, y, 2.4, 0, 7);
        c.fill();
      }
    }
    this.name(lane, right, height, box);
  }

  private live(dt: number): void {
    const { playing, rate, usual, latency } = this.now;
    if (!playing || dt <= 0) return;
    for (const dot of this.dots) {
      const before = dot.at;
      dot.at += (dt / TRAVEL_S) * dot.speed;
      if (before < ROUTER && dot.at >= ROUTER) this.route(dot);
    }
    this.dots = this.dots.filter((dot) => dot.at < 1);
    // By credit: births that come all at once would clump.
    this.credit = Math.min(this.credit + dt * BIRTHS * Math.min(2, rate / Math.max(usual, 0.01)), 20);
    while (this.credit >= 1 && this.dots.length < DOTS_MAX) {
      this.credit -= 1;
      this.dots.push({ at: Math.random() * 0.01, lane: -1, failed: false, place: Math.random(), speed: 0.9 + Math.random() * 0.2 });
    }
    void latency;
  }

  /** The router: from here on a dot has a version, and what becomes of it is known. */
  private route(dot: Dot): void {
    const { share, failing, latency } = this.now;
    dot.lane = Math.random() < share ? 1 : 0;
    dot.failed = Math.random() < failing[dot.lane]!;
    const slower = latency[dot.lane]! / Math.min(latency[0] || Infinity, latency[1] || Infinity);
    if (Number.isFinite(slower) && slower > 1.05) dot.speed /= Math.min(slower, 5);
  }

  private name(lane: (side: number, x: number) => [number, number], right: number, height: number, box: HTMLElement): void {
    const { asked, names, share, latency, rate, speed, playing } = this.now;
    const shares = [1 - share, share];
    const middles = [0, 1].map((side) => {
      const [a, b] = lane(side, 1);
      return (a + b) / 2;
    });
    // Never on top of each other, and never outside.
    const room = 58;
    let [first, second] = middles as [number, number];
    if (second - first < room) {
      const centre = (first + second) / 2;
      first = centre - room / 2;
      second = centre + room / 2;
    }
    first = Math.min(Math.max(first, room / 2), height - room * 1.5);
    second = Math.min(Math.max(second, room * 1.5), height - room / 2);
    [first, second].forEach((y, side) => {
      const label = this.labels[side]!;
      label.root.style.transform = `translate(${Math.round(right + 12)}px, ${Math.round(y)}px) translateY(-50%)`;
      text(label.name, names[side]!);
      text(label.share, percent(shares[side]!));
      text(label.more, Number.isFinite(latency[side]!) ? `${latency[side]!.toFixed(0)} ms` : "no traffic");
    });
    const dotIs = (rate * speed) / (BIRTHS * Math.min(2, rate / Math.max(this.now.usual, 0.01)) || 1);
    text(this.note, !playing ? `${compact(rate)} requests a second` : `${compact(rate)} a second; one dot is about ${dotIs < 1.5 ? "one request" : `${compact(dotIs)} requests`}`);
    box.setAttribute("aria-label", `Requests: ${percent(shares[0]!)} to ${names[0]}, ${percent(shares[1]!)} to ${names[1]}; ${asked} % asked for`);
  }
}
