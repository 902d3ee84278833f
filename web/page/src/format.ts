// Numbers for people.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 12,345 */
export const count = (n: number): string => whole.format(n);

/** A share as percent: three significant digits where they matter. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return "–";
  const p = share * 100;
  if (p === 0) return "0 %";
  const digits = p < 0.1 ? 3 : p < 10 ? 2 : p < 99.95 ? 1 : 0;
  return `${p.toFixed(digits)} %`;
}

/** A percentage as a plan writes it: 1, 0.05, 12.5. */
export const share = (p: number): string => `${Number(p.toFixed(2))} %`;

/** How many times: 1.05×. */
export function times(n: number): string {
  if (!Number.isFinite(n)) return "–";
  return `${n >= 10 ? n.toFixed(0) : n.toFixed(2)}×`;
}

/** Milliseconds of a latency. */
export function latency(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  return ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** A length of time in at most two units. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const s = Math.round(ms / 1000);
  if (s < 90) return `${s} s`;
  const min = Math.round(s / 60);
  if (min < 60) return `${min} min`;
  const [hours, minutes] = [Math.floor(min / 60), min % 60];
  if (hours < 48) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  const [days, left] = [Math.floor(hours / 24), hours % 24];
  return left ? `${days} d ${left} h` : `${days} d`;
}

/** A clock that counts from the beginning: 01:02:03, or 2 d 01:02:03. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, "0");
  const time = `${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s >= 86_400 ? `${Math.floor(s / 86_400)} d ${time}` : time;
}

/** Rates: 3.2 M, 45 k, 812. */
export function compact(n: number): string {
  if (n >= 999_500) return `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} M`;
  if (n >= 9_995) return `${(n / 1e3).toFixed(0)} k`;
  return count(n);
}

/** The speed as a factor: 1×, 10,000×. */
export const speed = (n: number): string => `${n < 10 ? Number(n.toFixed(1)) : count(n)}×`;
