// The rows of a run, column by column, and few enough of them: when there are too many,
// neighbours become one, so a month takes no more memory than an hour.

/** Rows at most. */
const ROWS_MAX = 4096;

/** What is added when two rows become one; the others keep the later number. */
const SUMS = new Set(["v1_requests", "v1_failures", "v2_requests", "v2_failures", "harmed_requests", "harmed_clients", "v1_measured", "v1_slow", "v2_measured", "v2_slow"]);
/** What keeps the last number that is known. */
const LASTING = new Set(["ratio", "ratio_low", "ratio_high", "worse", "healthy", "slower", "slo", "step", "step_minutes"]);

export class Store {
  readonly names: string[];
  private columns: Float64Array[];
  private index: Map<string, number>;
  length = 0;
  /** Grows with each change that is more than an addition. */
  version = 0;

  constructor(names: string[]) {
    this.names = names;
    this.index = new Map(names.map((name, at) => [name, at]));
    this.columns = names.map(() => new Float64Array(ROWS_MAX + 1));
  }

  private place(name: string): number {
    const place = this.index.get(name);
    if (place === undefined) throw new Error(`no column ${name}`);
    return place;
  }

  /** A column's numbers; those from `length` on mean nothing. */
  column(name: string): Float64Array {
    return this.columns[this.place(name)] as Float64Array;
  }

  /** The last number of a column. */
  last(name: string): number {
    return this.length > 0 ? (this.column(name)[this.length - 1] as number) : NaN;
  }

  /** The time of the last row. */
  get end(): number {
    return this.length > 0 ? this.last("to_ms") : 0;
  }

  clear(): void {
    this.length = 0;
    this.version += 1;
  }

  /** Forgets what comes after a moment. */
  truncate(ms: number): void {
    const to = this.column("to_ms");
    while (this.length > 0 && (to[this.length - 1] as number) > ms) this.length -= 1;
    this.version += 1;
  }

  /** Takes up rows as they come from the engine; those that are known already are passed
   *  over. */
  add(rows: Float64Array): void {
    const width = this.names.length;
    for (let from = 0; from + width <= rows.length; from += width) {
      if ((rows[from] as number) <= this.end) continue;
      for (let at = 0; at < width; at += 1) {
        const name = this.names[at] as string;
        const column = this.columns[at] as Float64Array;
        let value = rows[from + at] as number;
        // Evidence is not looked at in every row.
        const unknown = Number.isNaN(value) && LASTING.has(name) && this.length > 0;
        if (unknown && Number.isNaN(rows[from + this.place("step")] as number)) value = column[this.length - 1] as number;
        column[this.length] = value;
      }
      this.length += 1;
      if (this.length > ROWS_MAX) this.halve();
    }
  }

  private halve(): void {
    const half = Math.floor(this.length / 2);
    for (let at = 0; at < this.names.length; at += 1) {
      const column = this.columns[at] as Float64Array;
      const sums = SUMS.has(this.names[at] as string);
      for (let row = 0; row < half; row += 1) {
        const [a, b] = [column[2 * row] as number, column[2 * row + 1] as number];
        column[row] = sums ? a + b : b;
      }
      if (this.length % 2 === 1) column[half] = column[this.length - 1] as number;
    }
    this.length = half + (this.length % 2);
    this.version += 1;
  }

  /** The place of the row that holds a moment. */
  at(ms: number): number {
    const to = this.column("to_ms");
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((to[middle] as number) < ms) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, this.length - 1);
  }

  /** How long the rows last that `sum` adds up: a row may be longer than what is asked. */
  span(row: number, ms: number): number {
    const to = this.column("to_ms");
    let at = row;
    while (at >= 0 && (to[at] as number) > (to[row] as number) - ms) at -= 1;
    return (to[row] as number) - (at >= 0 ? (to[at] as number) : 0);
  }

  /** Sums of a column over the rows of the last `ms` before a row. */
  sum(name: string, row: number, ms: number): number {
    const to = this.column("to_ms");
    const column = this.column(name);
    const from = (to[row] as number) - ms;
    let sum = 0;
    for (let at = row; at >= 0 && (to[at] as number) > from; at -= 1) sum += column[at] as number;
    return sum;
  }
}

/** At most `most` places of rows, evenly, and always the last. */
export function places(length: number, most: number): number[] {
  const step = Math.max(1, Math.ceil(length / most));
  const out: number[] = [];
  for (let at = (length - 1) % step; at < length; at += step) if (at >= 0) out.push(at);
  return out;
}
