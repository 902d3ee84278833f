// How requests ended, gathered between two reports to the engine: one message for many.

/** Requests after which the engine is told, however little time has passed. */
export const BATCH_MAX = 256;

// In the place of a latency: there was no response.
const NO_LATENCY = -1;

/** Counts by version, success and latency in milliseconds. */
export class Outcomes {
  #versions = new Map();
  #size = 0;

  /** How many requests are gathered. */
  get size() {
    return this.#size;
  }

  /** `status` is undefined when no response came. Gives whether that is a failure. */
  record(version, status, latencyMs) {
    const ok = status !== undefined && !(status >= 500 && status <= 599);
    const latency = status === undefined ? NO_LATENCY : Math.max(0, Math.round(latencyMs));
    let counts = this.#versions.get(version);
    if (counts === undefined) this.#versions.set(version, (counts = new Map()));
    const place = latency * 2 + (ok ? 1 : 0);
    counts.set(place, (counts.get(place) ?? 0) + 1);
    this.#size += 1;
    return !ok;
  }

  /**
   * The `report_outcomes` message for versions that the engine knows, and how many
   * requests were of others. Begins anew.
   */
  take(known) {
    const outcomes = [];
    let unknown = 0;
    for (const [version, counts] of this.#versions) {
      for (const [place, count] of counts) {
        const latency = Math.floor(place / 2);
        const latency_ms = latency === NO_LATENCY ? undefined : latency;
        if (known.has(version)) outcomes.push({ version, ok: (place & 1) === 1, latency_ms, count });
        else unknown += count;
      }
    }
    this.#versions.clear();
    this.#size = 0;
    return { message: JSON.stringify({ type: 'report_outcomes', msg_id: 0, outcomes }), unknown };
  }
}
