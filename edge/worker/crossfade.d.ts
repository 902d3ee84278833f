/** The ABI that this file speaks: what `crossfade_abi_version` must return. */
export const ABI_VERSION: 1;

/** The longest routing key, in bytes of UTF-8. A longer one cannot be routed. */
export const KEY_BYTES_MAX: 1024;

/** Why a request went where it went, in the order in which the causes are tried. */
export type Reason =
  | 'kill_switch' | 'guard' | 'brownout' | 'pin' | 'rule' | 'split' | 'canary' | 'no_key' | 'stable'
  | 'gone' | 'pinned_back' | 'ready' | 'blocked';

/** Where one request goes, and why. */
export interface Routed {
  /** The version's name, as the plan writes it. */
  readonly version: string;
  /** Whether a canary percentage chose the newest version. */
  readonly canary: boolean;
  readonly reason: Reason;
}

/** The answer to a `route` message; docs/protocol.md has each field. */
export interface Decision extends Routed {
  /** The rule that decided. */
  readonly rule?: string;
  /** 0 to 9,999; absent when nothing was hashed. */
  readonly bucket?: number;
  /** What the response should carry: deprecation, sunset, link. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A plan document, as an object or as its JSON text. */
export type PlanDocument = Readonly<Record<string, unknown>> | string;

export interface CrossfadeOptions {
  /** The plan to start with. Without one everything goes to `v1` of `v1`, `v2`. */
  policy?: PlanDocument;
  /** The node's name in its totals, 1 to 128 bytes. Default: `node`. */
  node?: string;
  /** The id of this run of the node, 16 hexadecimal digits. Default: drawn. */
  epoch?: string;
  /**
   * All the chance that the engine has for messages, 0 to Number.MAX_SAFE_INTEGER.
   * Default: drawn.
   */
  seed?: number;
  /** The time at the start in unix milliseconds. Default: `Date.now()`. */
  nowMs?: number;
  /**
   * `report`: what clients do is remembered until `take_clients` has taken it.
   * Default: it is not.
   */
  clients?: 'report';
  /** Whether a rollout takes its real time or is played at once. Default: `wall`. */
  clock?: 'wall' | 'virtual';
  /** The whole init document as it is, in the place of policy, node, epoch and clock. */
  init?: string | Uint8Array;
}

/** What a module can be loaded from. workerd takes compiled modules only. */
export type ModuleSource = WebAssembly.Module | BufferSource | Response;

/**
 * The engine. Times are unix milliseconds and `Date.now()` when left out; they never
 * matter to a routing decision.
 *
 * After a trap, which any call may meet, the call throws {@link CrossfadeTrap} and a new
 * instance is in place. It begins with the state of the last `snapshot()` or `restore()`
 * and the last policy accepted since; with neither, as this object began. Counts since
 * then are gone, and without a snapshot it has a new epoch.
 */
export class Crossfade {
  /**
   * Compiles if need be, and starts.
   * @throws {CrossfadeModuleError} it is not a module of this ABI
   * @throws {CrossfadeRefusal} the policy is wrong; the text names every problem
   */
  static load(source: ModuleSource | PromiseLike<ModuleSource>, options?: CrossfadeOptions): Promise<Crossfade>;

  /** As {@link Crossfade.load}, at once. */
  constructor(module: WebAssembly.Module, options?: CrossfadeOptions);

  /** The names of the versions, oldest first. */
  readonly versions: string[];
  /** The plan document in force. */
  readonly config: Readonly<Record<string, unknown>>;
  /** How often an instance trapped. */
  readonly traps: number;
  /** The size of the engine's memory. It never shrinks. */
  readonly memoryBytes: number;

  /**
   * Decides for one routing key and counts it. The fast path: no JSON, no allocation;
   * the object is shared, and frozen.
   *
   * An empty key is no key. `draw` is 32 bits of chance, drawn when left out, for shares
   * that go by request. `undefined` means that a key alone does not decide: the policy
   * has rules (use {@link decide}), or the key is too long.
   */
  route(key: string | Uint8Array, options?: { draw?: number }): Routed | undefined;

  /**
   * Decides by key and attributes, and counts it.
   * @throws {CrossfadeRefusal} a key or an attribute is over its limit
   */
  decide(request?: { key?: string; attributes?: Record<string, string | number | boolean> }, nowMs?: number): Decision;

  /**
   * Puts a plan into force; gives the engine's revision of it.
   * @throws {CrossfadeRefusal} it is wrong, and the one before stays
   */
  configure(document: PlanDocument, nowMs?: number): number;

  /** Serves JSON lines. A bad line is answered by an `error` line; nothing is thrown. */
  handle(lines: string, nowMs?: number): string;
  handle(lines: Uint8Array, nowMs?: number): Uint8Array;

  /** Lets time act: events and late replies as JSON lines, or nothing. */
  tick(nowMs?: number): string;
  /** This instance's counts since its epoch, as one JSON line. */
  totals(): string;
  /** Takes in another node's totals; gives the answer line. */
  merge(line: string | Uint8Array): string;
  /** The whole state; kept, to begin with after a trap. */
  snapshot(): Uint8Array;
  /**
   * Puts a snapshot in the place of the whole state.
   * @throws {CrossfadeRefusal} it is no snapshot of this engine; nothing has changed
   */
  restore(bytes: Uint8Array): void;
}

/** One instance of the module: the ABI and nothing else. After a trap, drop it. */
export class CrossfadeInstance {
  constructor(module: WebAssembly.Module);
  readonly memoryBytes: number;
  init(document: string | Uint8Array, nowMs: number, seedLo: number, seedHi: number): Uint8Array;
  handle(lines: string | Uint8Array, nowMs: number): Uint8Array;
  /** The route word; `0xFFFF_FFFF` when the key alone does not decide. */
  routeWord(key: string | Uint8Array, draw: number): number;
  tick(nowMs: number): Uint8Array;
  totals(): Uint8Array;
  merge(totals: string | Uint8Array): Uint8Array;
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): Uint8Array;
}

/** What a route word says, or undefined for "cannot". */
export function readRouteWord(word: number): { index: number; canary: boolean; reason: Reason } | undefined;

/** 64 random bits as 16 hexadecimal digits, for {@link CrossfadeOptions.epoch}. */
export function randomEpoch(): string;

/** The file is not a module of this ABI; the message says what is wrong with it. */
export class CrossfadeModuleError extends Error {}

/** The engine refused what it was given. */
export class CrossfadeRefusal extends Error {
  /** The engine's whole answer. */
  readonly line: string;
}

/** The engine broke. */
export class CrossfadeTrap extends Error {
  /** Which export it was in. */
  readonly export: string;
  /** What it said, if it could. */
  readonly panic: string | undefined;
}
