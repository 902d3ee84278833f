// Modules that are not quite the engine, written out byte by byte: each export is a
// function without locals, and the memory has one page.

const I32 = 0x7f;
const F64 = 0x7c;

const SIGNATURES = {
  crossfade_abi_version: [],
  crossfade_input: [I32],
  crossfade_init: [I32, F64, I32, I32],
  crossfade_handle: [I32, F64],
  crossfade_route: [I32, I32],
  crossfade_tick: [F64],
  crossfade_totals: [],
  crossfade_merge: [I32],
  crossfade_snapshot: [],
  crossfade_restore: [I32],
  crossfade_last_panic: [],
};

const leb = (value) => {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
};
const signed = (value) => {
  const bytes = [];
  for (let rest = value; ; rest >>= 7) {
    if (rest >= -64 && rest < 64) return [...bytes, rest & 0x7f];
    bytes.push((rest & 0x7f) | 0x80);
  }
};
const list = (items) => [...leb(items.length), ...items.flat()];
const sized = (bytes) => [...leb(bytes.length), ...bytes];
const name = (text) => sized([...new TextEncoder().encode(text)]);

/** Instructions: a constant, and `unreachable`. */
export const constant = (value) => [0x41, ...signed(value)];
export const unreachable = [0x00];

/**
 * A module with the exports of the ABI. `bodies` are the instructions of those that do
 * not just return 0, `without` are not exported, `imports` are asked for, and `memory` is
 * `[address, text]`s that lie in it.
 */
export function assemble({ bodies = {}, without = [], imports = [], memory = [] } = {}) {
  const functions = Object.entries(SIGNATURES);
  const all = { crossfade_abi_version: constant(1), crossfade_input: constant(4096), ...bodies };
  const types = functions.map(([, parameters]) => [0x60, ...list(parameters), 1, I32]);
  const exported = functions.map(([export_], at) => [export_, [...name(export_), 0, ...leb(at + imports.length)]])
    .concat([['memory', [...name('memory'), 2, 0]]])
    .filter(([export_]) => !without.includes(export_));
  const section = (id, items) => [id, ...sized(list(items))];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, types),
    ...section(2, imports.map(([from, import_]) => [...name(from), ...name(import_), 0, 0])),
    ...section(3, functions.map((_, at) => leb(at))),
    ...section(5, [[0, 1]]),
    ...section(7, exported.map(([, bytes]) => bytes)),
    ...section(10, functions.map(([export_]) => sized([0, ...(all[export_] ?? constant(0)), 0x0b]))),
    ...section(11, memory.map(([address, bytes]) => [0, ...constant(address), 0x0b, ...sized([...bytes])])),
  ]);
}
