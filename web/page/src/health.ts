// What the gate looks at, on one time axis: the share, how much more often v2 fails with
// the gate's own interval, its evidence, the failure rates and the latency behind it.

import uPlot from "uplot";

import { card, h, text } from "./dom.ts";
import { clock, compact, latency, percent, times } from "./format.ts";
import { colours, onColours } from "./theme.ts";
import { places, type Store } from "./store.ts";
import type { Live } from "./log.ts";
import type { Plan, Told } from "./types.ts";

/** More columns than this no screen shows, and drawing them costs frames. */
const COLUMNS_MAX = 600;
const MINUTE = 60_000;

type Line = (number | null)[];

interface Series {
  label: string;
  tone: "v1" | "v2" | "muted" | "ink" | "back";
  dash?: number[];
  /** Of the gate, or asked for: not measured. */
  is?: "asked";
}

interface Limit {
  at: number;
  label: string;
  /** The label stands under the line. */
  under?: boolean;
}

interface Chart {
  title: string;
  about: string;
  height: number;
  series: Series[];
  /** Places of the two series between which the interval lies. */
  band?: [number, number];
  data: (store: Store, rows: number[]) => Line[];
  limits: (plan: Plan) => Limit[];
  range: (lines: Line[], limits: Limit[]) => [number, number];
  value: (n: number) => string;
  /** What stands at the axis, if it is something else. */
  tick?: (n: number) => string;
  log?: boolean;
}

const known = (n: number | undefined): number | null => (n === undefined || Number.isNaN(n) ? null : n);

/** The failures of a version in the last minute, where it served anything worth a rate. */
function failures(store: Store, rows: number[], side: "v1" | "v2"): Line {
  const asked = store.column("asked_percent");
  return rows.map((row) => {
    const requests = store.sum(`${side}_requests`, row, MINUTE);
    // What v2 served in the minute before it was taken back is not its present.
    const gone = side === "v2" && asked[row] === 0;
    return gone || requests < 20 ? null : store.sum(`${side}_failures`, row, MINUTE) / requests;
  });
}

const column = (store: Store, rows: number[], name: string, change: (n: number) => number = (n) => n): Line => {
  const values = store.column(name);
  return rows.map((row) => known(change(values[row]!)));
};

function top(lines: Line[], least: number): number {
  let most = least;
  for (const line of lines) for (const n of line) if (n !== null && n > most) most = n;
  return most;
}

const RATIO: [number, number] = [1 / 8, 16];
const clamp = (n: number) => Math.min(RATIO[1], Math.max(RATIO[0], n));

/** Of a running server: how many requests take longer than the gate compares at. A
 *  server counts them, and measures no percentiles. */
function slow([old, fresh]: [string, string]): Chart {
  const part = (store: Store, rows: number[], side: "v1" | "v2"): Line => rows.map((row) => {
    const measured = store.sum(`${side}_measured`, row, MINUTE);
    return measured < 20 ? null : store.sum(`${side}_slow`, row, MINUTE) / measured;
  });
  return {
    title: "Slow requests",
    about: `in the last minute; slow is what 5 % of ${old}'s were when the gate measured it`,
    height: 112,
    series: [{ label: old, tone: "v1" }, { label: fresh, tone: "v2" }],
    data: (store, rows) => [part(store, rows, "v1"), part(store, rows, "v2")],
    limits: () => [{ at: 0.05, label: "5 %" }],
    range: (lines) => [0, top(lines, 0.1) * 1.15],
    value: percent,
    tick: (n) => `${Number((n * 100).toPrecision(3))} %`,
  };
}

/** What else a running server tells. */
function rates([old, fresh]: [string, string]): Chart {
  const rate = (store: Store, rows: number[], side: "v1" | "v2") => rows.map((row) => (row === 0 ? null : store.sum(`${side}_requests`, row, MINUTE) / (store.span(row, MINUTE) / 1000)));
  return {
    title: "Requests a second",
    about: "as reported in the last minute",
    height: 112,
    series: [{ label: old, tone: "v1" }, { label: fresh, tone: "v2" }],
    data: (store, rows) => [rate(store, rows, "v1"), rate(store, rows, "v2")],
    limits: () => [],
    range: (lines) => [0, top(lines, 1) * 1.15],
    value: (n) => (n < 100 ? n.toFixed(1) : compact(n)),
    tick: (n) => (n < 10 ? String(n) : compact(n)),
  };
}

function charts([old, fresh]: [string, string]): Chart[] {
  return [
    {
      title: `Share of requests on ${fresh}`,
      about: "solid: observed in the last minute; dashed: asked for",
      height: 96,
      series: [{ label: "observed", tone: "v2" }, { label: "asked for", tone: "muted", dash: [5, 4], is: "asked" }],
      data: (store, rows) => [
        rows.map((row) => {
          const [a, b] = [store.sum("v1_requests", row, MINUTE), store.sum("v2_requests", row, MINUTE)];
          return a + b > 0 ? b / (a + b) : null;
        }),
        column(store, rows, "asked_percent", (n) => n / 100),
      ],
      limits: () => [],
      range: () => [0, 1],
      value: percent,
      tick: (n) => `${Math.round(n * 100)} %`,
    },
    {
      title: `How many times as often ${fresh} fails`,
      about: "the gate's own estimate and interval, valid however often one looks",
      height: 132,
      series: [{ label: "estimate", tone: "v2" }, { label: "from", tone: "v2" }, { label: "to", tone: "v2" }],
      band: [3, 2],
      data: (store, rows) => {
        const low = store.column("ratio_low");
        const high = store.column("ratio_high");
        // Before there is evidence the interval is everything: nothing is drawn.
        const none = (row: number) => Number.isNaN(low[row]!) || (low[row]! <= 0 && Number.isNaN(high[row]!));
        return [
          column(store, rows, "ratio", (n) => (n > 0 ? clamp(n) : NaN)),
          rows.map((row) => (none(row) ? null : clamp(low[row]!))),
          rows.map((row) => (none(row) ? null : clamp(Number.isNaN(high[row]!) ? RATIO[1] : high[row]!))),
        ];
      },
      limits: (plan) => {
        const gate = plan.gate?.failures;
        return [
          { at: gate?.margin ?? 1, label: "worse when all of it is above", under: true },
          { at: gate?.not_worse?.ratio ?? 1.5, label: `tolerated: ${times(gate?.not_worse?.ratio ?? 1.5)}` },
        ];
      },
      range: () => RATIO,
      value: times,
      tick: (n) => ([0.25, 0.5, 1, 2, 4, 8].includes(n) ? `${n}×` : ""),
      log: true,
    },
    {
      title: "Evidence",
      about: "part of what it takes: at 100 % the gate decides",
      height: 112,
      series: [{ label: `${fresh} is worse`, tone: "back" }, { label: `${fresh} is healthy`, tone: "ink", dash: [1, 0] }],
      data: (store, rows) => ["worse", "healthy"].map((name) => column(store, rows, name, (n) => Math.min(1.15, Math.max(0, n)))),
      limits: () => [{ at: 1, label: "decides", under: true }],
      range: () => [0, 1.18],
      value: (n) => (n >= 1.15 ? "over 115 %" : `${Math.round(n * 100)} %`),
      tick: (n) => (n <= 1 ? `${Math.round(n * 100)} %` : ""),
    },
    {
      title: "Requests that fail",
      about: "in the last minute",
      height: 112,
      series: [{ label: old, tone: "v1" }, { label: fresh, tone: "v2" }],
      data: (store, rows) => [failures(store, rows, "v1"), failures(store, rows, "v2")],
      limits: () => [],
      range: (lines) => [0, top(lines, 0.005) * 1.15],
      value: percent,
      tick: (n) => `${Number((n * 100).toPrecision(3))} %`,
    },
    {
      title: "Latency, 99th percentile",
      about: "of the last minute",
      height: 112,
      series: [{ label: old, tone: "v1" }, { label: fresh, tone: "v2" }],
      data: (store, rows) => [column(store, rows, "v1_p99_ms"), column(store, rows, "v2_p99_ms")],
      limits: (plan) => (plan.gate?.latency?.slo_ms ? [{ at: plan.gate.latency.slo_ms, label: "bound" }] : []),
      range: (lines, limits) => [0, Math.max(top(lines, 10), ...limits.map((limit) => limit.at)) * 1.15],
      value: latency,
      tick: (n) => (n === 0 ? "0" : latency(n)),
    },
  ];
}

export class Health {
  readonly root: HTMLElement;
  private body: HTMLElement;
  private note = h("p", { class: "note" }, "what the gate decides by");
  private plots: { plot: uPlot; chart: Chart; values: HTMLElement[] }[] = [];
  private drawn = { end: -1, version: -1, now: -1 };
  private events: Told[] = [];
  private plan: Plan | undefined;
  private table: HTMLTableSectionElement;
  private empty: HTMLElement;
  /** Milliseconds that the last drawing of all charts took. */
  cost = 0;

  constructor(private store: Store, private seek: (ms: number) => void, private live?: Live) {
    const { root, body } = card("health", "Health", live ? this.note : "what the gate decides by; click a moment to go there");
    this.root = root;
    this.empty = h("p", { class: "empty" }, "The charts begin with the first requests.");
    this.body = h("div", { class: "plots" });
    this.table = h("tbody");
    const heads = ["Time", "Share asked", "Times as often", "Evidence: worse", "Evidence: healthy", "v1 fails", "v2 fails"];
    const table = h("table", {}, h("caption", {}, "The last twenty minutes as numbers"), h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), this.table);
    body.append(this.empty, this.body, h("div", { class: "offscreen" }, table));
    onColours(() => this.build());
    new ResizeObserver(() => this.resize()).observe(this.body);
  }

  /** From when on a live migration is shown: a server remembers numbers while it leads. */
  since(time: string): void {
    text(this.note, `what the gate decides by, since this server began to lead (${time})`);
  }

  /** A new run with a plan. */
  reset(plan: Plan, names: [string, string]): void {
    this.plan = plan;
    this.events = [];
    this.drawn = { end: -1, version: -1, now: -1 };
    this.names = names;
    this.build();
  }

  private names: [string, string] = ["v1", "v2"];

  mark(events: Told[]): void {
    this.events = events;
  }

  private build(): void {
    if (!this.plan) return;
    for (const { plot } of this.plots) plot.destroy();
    this.body.replaceChildren();
    const ink = colours();
    const all = charts(this.names);
    const { latency } = this.plan.gate ?? {};
    const slows = latency && latency.slower_than_old !== false;
    if (this.live) all.splice(-1, 1, ...(slows ? [slow(this.names)] : []), rates(this.names));
    this.plots = all.map((chart, place) => {
      const values = chart.series.filter((s) => s.label !== "from" && s.label !== "to").map((s) => h("span", { class: `value ${s.tone}` }, s.label));
      const head = h("div", { class: "plot-head" }, h("h3", {}, chart.title), ...values, h("small", {}, chart.about));
      const box = h("div", { class: "plot" });
      const root = h("div", { class: "chart", role: "group", "aria-label": `${chart.title}: ${chart.about}` }, head, box);
      this.body.append(root);
      const plot = new uPlot(this.options(chart, ink, place === all.length - 1), chart.series.map(() => []).concat([[]]) as unknown as uPlot.AlignedData, box);
      return { plot, chart, values };
    });
    this.drawn.end = -1;
  }

  private options(chart: Chart, ink: ReturnType<typeof colours>, last: boolean): uPlot.Options {
    const grid = { stroke: ink.line, width: 1 };
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const limits = () => (this.plan ? chart.limits(this.plan) : []);
    return {
      width: Math.max(200, this.body.clientWidth),
      height: chart.height + (last ? 20 : 0),
      pxAlign: 0,
      legend: { show: false },
      cursor: { sync: { key: "health" }, drag: { x: false, y: false }, points: { show: false }, y: false },
      select: { show: false, left: 0, top: 0, width: 0, height: 0 },
      padding: [6, 26, last ? 0 : 4, 0],
      scales: {
        x: { time: false, range: () => [this.live && this.store.length > 0 ? Math.max(0, this.store.column("to_ms")[0]! / 1000 - 1) : 0, Math.max(60, this.store.end / 1000)] },
        y: chart.log
          ? { distr: 3, log: 2, range: () => RATIO }
          : { range: (u) => chart.range(u.data.slice(1) as Line[], limits()) },
      },
      axes: [
        { show: last, stroke: ink.muted, font, grid, ticks: { show: false }, size: 22, gap: 2, space: 74, incrs: [60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 604_800], values: (_, at) => at.map((s) => this.live?.axis?.(s * 1000) ?? clock(s * 1000).replace(/(:\d\d):00$/, "$1")) },
        {
          stroke: ink.muted, font, grid, ticks: { show: false }, size: 54, gap: 6, space: 26,
          values: (_, at) => at.map((n) => (n === null ? "" : (chart.tick ?? chart.value)(n))),
        },
      ],
      series: [
        {},
        ...chart.series.map((series, place) => ({
          stroke: chart.band && place > 0 ? "transparent" : ink[series.tone],
          width: 1,
          ...(series.dash ? { dash: series.dash } : {}),
          points: { show: false },
          spanGaps: false,
          ...(series.is === "asked" ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {}),
        })),
      ],
      ...(chart.band ? { bands: [{ series: chart.band, fill: alpha(ink.v2, 0.2) }] } : {}),
      hooks: {
        draw: [(u) => this.decorate(u, limits(), ink, font)],
        setCursor: [(u) => this.point(u)],
        ready: [(u) => u.over.addEventListener("click", () => this.click(u))],
      },
    };
  }

  /** Lines of limits and of events. */
  private decorate(u: uPlot, limits: Limit[], ink: ReturnType<typeof colours>, font: string): void {
    const { ctx: c } = u;
    const { left, top: above, width, height } = u.bbox;
    const ratio = uPlot.pxRatio;
    c.save();
    c.beginPath();
    c.rect(left, above - 6 * ratio, width, height + 6 * ratio);
    c.clip();
    c.lineWidth = ratio;
    c.font = font.replace("11px", `${11 * ratio}px`);
    for (const limit of limits) {
      const y = Math.round(u.valToPos(limit.at, "y", true)) + 0.5;
      c.strokeStyle = ink.ink;
      c.globalAlpha = 0.75;
      c.setLineDash([5 * ratio, 4 * ratio]);
      c.beginPath();
      c.moveTo(left, y);
      c.lineTo(left + width, y);
      c.stroke();
      c.globalAlpha = 1;
      c.fillStyle = ink.muted;
      c.textAlign = "right";
      c.textBaseline = limit.under ? "top" : "bottom";
      c.fillText(limit.label, left + width - 4 * ratio, y + (limit.under ? 3 : -2) * ratio);
    }
    for (const told of this.events) {
      const kind = told.event.event;
      const back = kind === "rollback_started";
      if (!back && kind !== "step_started" && kind !== "held" && kind !== "completed") continue;
      const x = Math.round(u.valToPos(told.at_ms / 1000, "x", true)) + 0.5;
      c.strokeStyle = back ? ink.back : ink.muted;
      c.globalAlpha = back ? 1 : 0.45;
      c.setLineDash(back ? [] : kind === "held" ? [1 * ratio, 3 * ratio] : [3 * ratio, 3 * ratio]);
      c.beginPath();
      c.moveTo(x, above);
      c.lineTo(x, above + height);
      c.stroke();
      if (back) {
        c.fillStyle = ink.back;
        c.beginPath();
        c.moveTo(x - 5 * ratio, above - 5 * ratio);
        c.lineTo(x + 5 * ratio, above - 5 * ratio);
        c.lineTo(x, above + 4 * ratio);
        c.fill();
      }
      c.globalAlpha = 1;
    }
    const x = Math.round(u.valToPos(this.nowMs / 1000, "x", true)) + 0.5;
    c.setLineDash([]);
    c.strokeStyle = ink.ink;
    c.globalAlpha = 0.5;
    c.beginPath();
    c.moveTo(x, above);
    c.lineTo(x, above + height);
    c.stroke();
    c.restore();
  }

  private nowMs = 0;
  private time = (ms: number): string => (this.live?.time ?? clock)(ms);

  private click(u: uPlot): void {
    const at = u.cursor.left;
    if (at !== undefined && at >= 0) this.seek(Math.max(0, Math.round(u.posToVal(at, "x") * 1000)));
  }

  private pointed: number | null = null;

  private point(u: uPlot): void {
    this.pointed = u.cursor.idx ?? null;
    this.values();
  }

  private values(): void {
    for (const { plot, chart, values } of this.plots) {
      let at = 0;
      chart.series.forEach((series, place) => {
        if (series.label === "from" || series.label === "to") return;
        const line = plot.data[place + 1] as Line | undefined;
        const n = line?.[this.pointed ?? line.length - 1] ?? null;
        let more = "";
        if (chart.band) {
          const [low, high] = [2, 3].map((s) => (plot.data[s] as Line | undefined)?.[this.pointed ?? (line?.length ?? 1) - 1] ?? null);
          if (low !== null && high !== null && low !== undefined && high !== undefined) more = ` [${chart.value(low)} – ${high >= RATIO[1] ? "∞" : chart.value(high)}]`;
        }
        text(values[at]!, `${series.label} ${n === null ? "–" : chart.value(n)}${more}`);
        at += 1;
      });
    }
  }

  private resize(): void {
    const width = this.body.clientWidth;
    if (width < 50) return;
    for (const { plot, chart } of this.plots) {
      const last = chart === this.plots.at(-1)?.chart;
      if (plot.width !== width) plot.setSize({ width, height: chart.height + (last ? 20 : 0) });
    }
  }

  /** Draws what is new. */
  update(nowMs: number): void {
    const { store } = this;
    if (store.length < 2 || (store.end === this.drawn.end && store.version === this.drawn.version && nowMs === this.drawn.now)) return;
    const began = performance.now();
    this.nowMs = nowMs;
    this.drawn = { end: store.end, version: store.version, now: nowMs };
    this.empty.hidden = true;
    const rows = places(store.length, COLUMNS_MAX);
    const to = store.column("to_ms");
    const x = rows.map((row) => to[row]! / 1000);
    // In a batch uPlot draws at once, so that the time it takes is known.
    for (const { plot, chart } of this.plots) plot.batch(() => plot.setData([x, ...chart.data(store, rows)] as unknown as uPlot.AlignedData));
    this.values();
    this.tabulate(rows);
    this.cost = performance.now() - began;
    dispatchEvent(new CustomEvent("crossfade:drawn", { detail: { ms: this.cost, charts: this.plots.length, points: rows.length } }));
  }

  private tabled = -Infinity;

  /** The same for who cannot see charts; once in a while. */
  private tabulate(rows: number[]): void {
    if (performance.now() - this.tabled < 2_000) return;
    this.tabled = performance.now();
    const { store } = this;
    const last = rows.length > 0 ? rows.at(-1)! : 0;
    const lines: HTMLTableRowElement[] = [];
    for (let at = last, n = 0; at >= 0 && n < 20; n += 1) {
      const [v1, v2] = (["v1", "v2"] as const).map((side) => failures(store, [at], side)[0] ?? NaN);
      const cells = [this.time(store.column("to_ms")[at]!), `${store.column("asked_percent")[at]} %`, times(store.column("ratio")[at]!), percent(store.column("worse")[at]!), percent(store.column("healthy")[at]!), percent(v1!), percent(v2!)];
      lines.push(h("tr", {}, ...cells.map((cell) => h("td", {}, cell))));
      const before = store.at(store.column("to_ms")[at]! - MINUTE);
      at = before < at ? before : at - 1;
    }
    this.table.replaceChildren(...lines);
  }
}

/** A colour that lets through. */
function alpha(colour: string, part: number): string {
  const numbers = colour.match(/[\d.]+/g);
  return numbers ? `rgba(${numbers.slice(0, 3).join(", ")}, ${part})` : colour;
}
