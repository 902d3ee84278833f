// Crossfade's engine in JavaScript: crossfade.wasm behind a class.
//
// Does: speak the module's ABI (docs/abi.md), name versions and reasons, and take a new
// instance when one has trapped.
// Does not: read a file, fetch, or know a runtime. It needs WebAssembly, TextEncoder,
// TextDecoder and crypto.getRandomValues, which workerd, Node, Deno, Bun and browsers
// all have. Types and the meaning of each argument are in crossfade.d.ts.

/** The ABI this file speaks. */
export const ABI_VERSION = 1;

/** Longest routing key in bytes; a longer one cannot be routed. */
export const KEY_BYTES_MAX = 1024;

const FUNCTIONS = [
  'crossfade_abi_version', 'crossfade_input', 'crossfade_init', 'crossfade_handle',
  'crossfade_route', 'crossfade_tick', 'crossfade_totals', 'crossfade_merge',
  'crossfade_snapshot', 'crossfade_restore', 'crossfade_last_panic',
];

/** By the code in bits 17-23 of a route word. */
const REASONS = [
  undefined, 'kill_switch', 'guard', 'brownout', 'pin', 'rule', 'split', 'canary', 'no_key',
  'stable', 'gone', 'pinned_back', 'ready', 'blocked',
];

const CANNOT = 0xffff_ffff;

// Room that is reserved once: no key that can be routed takes more, since a UTF-16 unit
// is at most three bytes of UTF-8.
const ROOM = 3 * KEY_BYTES_MAX;

// Below this many characters a loop is cheaper than a call of encodeInto.
const LOOP_CHARS_MAX = 64;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const GET_CONFIG = '{"type":"get_config","msg_id":0}';
const NOTHING = new Uint8Array();

/** The file is not a module that this class can run. */
export class CrossfadeModuleError extends Error {
  name = 'CrossfadeModuleError';
}

/** The engine refused what it was given; `line` is its whole answer. */
export class CrossfadeRefusal extends Error {
  name = 'CrossfadeRefusal';

  constructor(line) {
    super(textOf(line));
    this.line = line;
  }
}

/** The engine broke in `export`. A new instance has taken its place. */
export class CrossfadeTrap extends Error {
  name = 'CrossfadeTrap';

  constructor(name, panic, cause) {
    super(`the engine trapped in ${name}: ${panic ?? cause}`, { cause });
    this.export = name;
    this.panic = panic;
  }
}

/** The index, canary flag and reason in a route word, or undefined for "cannot". */
export function readRouteWord(word) {
  const reason = REASONS[(word >>> 17) & 0x7f];
  if (word === CANNOT || reason === undefined) return undefined;
  return { index: word & 0xffff, canary: (word & 0x1_0000) !== 0, reason };
}

/** One instance of the module: the ABI and nothing else. Bytes in, bytes out. */
export class CrossfadeInstance {
  #exports;
  #memory;
  #room = NOTHING;

  /** Takes a compiled module; throws CrossfadeModuleError when it is not one of ours. */
  constructor(module) {
    this.#exports = instantiate(module);
    this.#memory = this.#exports.memory;
    this.#reserve(ROOM);
  }

  get memoryBytes() { return this.#memory.buffer.byteLength; }

  init(document, nowMs, seedLo, seedHi) {
    const length = this.#write(document);
    return this.#call('crossfade_init', length, nowMs, seedLo, seedHi);
  }

  handle(lines, nowMs) {
    return this.#call('crossfade_handle', this.#write(lines), nowMs);
  }

  /** A key as text or bytes to a route word; nothing is allocated. */
  routeWord(key, draw) {
    if (key.length > KEY_BYTES_MAX) return CANNOT;
    const length = typeof key === 'string' ? this.#writeKey(key) : this.#write(key);
    try {
      return this.#exports.crossfade_route(length, draw) >>> 0;
    } catch (cause) {
      throw this.#trap('crossfade_route', cause);
    }
  }

  tick(nowMs) {
    return this.#call('crossfade_tick', nowMs);
  }

  totals() {
    return this.#call('crossfade_totals');
  }

  merge(totals) {
    return this.#call('crossfade_merge', this.#write(totals));
  }

  snapshot() {
    return this.#call('crossfade_snapshot');
  }

  restore(snapshot) {
    const said = this.#call('crossfade_restore', this.#write(snapshot));
    this.#reserve(ROOM); // Gives the room of a large snapshot back.
    return said;
  }

  // Calls an export that answers with a record, and copies what it points at.
  #call(name, ...args) {
    let record;
    try {
      record = this.#exports[name](...args) >>> 0;
    } catch (cause) {
      throw this.#trap(name, cause);
    }
    return record === 0 ? NOTHING : this.#read(record);
  }

  #read(record) {
    const { buffer } = this.#memory;
    const [address, length] = new Uint32Array(buffer, record, 2);
    return new Uint8Array(buffer, address, length).slice();
  }

  #write(input) {
    if (typeof input === 'string') return this.#writeText(input);
    const { length } = input;
    if (length === 0) return 0;
    this.#roomFor(length).set(input);
    return length;
  }

  #writeText(text) {
    if (text.length * 3 > ROOM) return this.#write(encoder.encode(text));
    return encoder.encodeInto(text, this.#roomFor(ROOM)).written;
  }

  // Keys are short and plain as a rule, and there is one for every request.
  #writeKey(key) {
    const { length } = key;
    const room = this.#roomFor(ROOM);
    if (length <= LOOP_CHARS_MAX) {
      let at = 0;
      for (; at < length; at++) {
        const unit = key.charCodeAt(at);
        if (unit > 0x7f) break;
        room[at] = unit;
      }
      if (at === length) return length;
    }
    return encoder.encodeInto(key, room).written;
  }

  // A view that has length 0 is one whose memory has grown: the buffer is a new one.
  #roomFor(length) {
    return this.#room.length >= length ? this.#room : this.#reserve(Math.max(length, ROOM));
  }

  #reserve(length) {
    let address;
    try {
      address = this.#exports.crossfade_input(length) >>> 0;
    } catch (cause) {
      throw this.#trap('crossfade_input', cause);
    }
    if (address === 0) throw new RangeError(`${length} bytes are over the engine's limit for one input`);
    this.#room = new Uint8Array(this.#memory.buffer, address, length);
    return this.#room;
  }

  #trap(name, cause) {
    let panic;
    try {
      const record = this.#exports.crossfade_last_panic() >>> 0;
      if (record !== 0) panic = decoder.decode(this.#read(record));
    } catch {
      // What is left of the instance cannot even say what broke it.
    }
    return new CrossfadeTrap(name, panic, cause);
  }
}

// In the place of an instance when no new one could be had: each use tries again.
const NO_INSTANCE = { memoryBytes: 0 };
for (const call of ['routeWord', 'handle', 'tick', 'totals', 'merge', 'snapshot', 'restore']) {
  NO_INSTANCE[call] = () => {
    throw new CrossfadeTrap('crossfade_init', 'no new engine could be started');
  };
}

/** The engine, with names for what it decides, and a new instance after a trap. */
export class Crossfade {
  #module;
  #instance;
  #options;
  #seed;
  #nowMs;
  #draws = new Uint32Array(256);
  #drawn = 256;

  // What `route` gives, by word: there are few, so each is made once.
  #routed = new Map();
  #config;

  // What brings a broken instance back.
  #saved;
  #totalsSinceSaved = 0;
  #configuredSinceSaved = false;
  #traps = 0;

  /** Compiles if need be, and starts. Give a Response (or a promise of one) or bytes. */
  static async load(source, options) {
    return new Crossfade(await compile(await source), options);
  }

  /** Starts at once from a compiled module. */
  constructor(module, options = {}) {
    this.#module = module;
    this.#options = options;
    this.#seed = seedWords(options.seed);
    this.#nowMs = options.nowMs ?? Date.now();
    this.#start(this.#initDocument(options.epoch ?? randomEpoch()));
  }

  get versions() { return versionNames(this.config); }

  get config() {
    this.#config ??= this.#configInForce();
    return this.#config;
  }

  get traps() { return this.#traps; }

  get memoryBytes() { return this.#instance.memoryBytes; }

  route(key, options) {
    const draw = options?.draw ?? this.#draw();
    let word;
    try {
      word = this.#instance.routeWord(key, draw);
    } catch (error) {
      throw this.#recovered(error);
    }
    return this.#routed.get(word) ?? this.#name(word);
  }

  decide({ key, attributes, count } = {}, nowMs = Date.now()) {
    const asked = JSON.stringify({ type: 'route', msg_id: 0, key, attributes, count });
    const answer = this.#ask(asked, 'route_ok', nowMs);
    delete answer.type;
    delete answer.in_reply_to;
    return answer;
  }

  configure(document, nowMs = Date.now()) {
    const { revision } = this.#ask(configureLine(document), 'configure_ok', nowMs);
    this.#configured(this.#ask(GET_CONFIG, 'config', nowMs).document);
    return revision;
  }

  handle(lines, nowMs = Date.now()) {
    const out = this.#serve(lines, nowMs);
    const text = decoder.decode(out);
    if (text.includes('"configure_ok"')) this.#configured(this.#configInForce());
    return typeof lines === 'string' ? text : out;
  }

  tick(nowMs = Date.now()) {
    this.#nowMs = nowMs;
    return decoder.decode(this.#guarded((instance) => instance.tick(nowMs)));
  }

  totals() {
    this.#totalsSinceSaved += 1;
    return decoder.decode(this.#guarded((instance) => instance.totals()));
  }

  merge(line) {
    return decoder.decode(this.#guarded((instance) => instance.merge(line)));
  }

  snapshot() {
    const bytes = this.#guarded((instance) => instance.snapshot());
    this.#save(bytes);
    return bytes.slice();
  }

  restore(bytes) {
    const said = decoder.decode(this.#guarded((instance) => instance.restore(bytes)));
    if (said !== '') throw new CrossfadeRefusal(said);
    this.#save(bytes.slice());
    this.#config = undefined;
    this.#routed.clear();
  }

  #save(bytes) {
    this.#saved = bytes;
    this.#totalsSinceSaved = 0;
    this.#configuredSinceSaved = false;
  }

  #start(document) {
    const [low, high] = this.#seed;
    const instance = new CrossfadeInstance(this.#module);
    const said = instance.init(document, this.#nowMs, low, high);
    if (said.length > 0) throw new CrossfadeRefusal(decoder.decode(said));
    this.#instance = instance;
  }

  #initDocument(epoch) {
    const { init, clock = 'wall', node, policy, clients } = this.#options;
    if (init !== undefined) return init;
    return JSON.stringify({ clock, node, epoch, clients, policy: policyOf(policy) });
  }

  #serve(lines, nowMs) {
    this.#nowMs = nowMs;
    return this.#guarded((instance) => instance.handle(lines, nowMs));
  }

  // One line and the one answer of that type; CrossfadeRefusal when it is an error.
  #ask(line, type, nowMs = this.#nowMs) {
    const out = decoder.decode(this.#serve(line, nowMs));
    for (const answer of out.split('\n').filter(Boolean).map((text) => JSON.parse(text))) {
      if (answer.type === type) return answer;
      if (answer.type === 'error') throw new CrossfadeRefusal(out);
    }
    throw new CrossfadeRefusal(out);
  }

  // Keeps the plan to begin with again after a trap. `get_config` writes where the
  // buckets lie, which the document that was sent may not say.
  #configured(config) {
    this.#config = config;
    this.#routed.clear();
    this.#configuredSinceSaved = true;
  }

  // Asks a copy of the engine, since the engine numbers the lines that it is asked, and
  // the numbers are in its answers.
  #configInForce() {
    const copy = new CrossfadeInstance(this.#module);
    copy.init('', this.#nowMs, 0, 0);
    copy.restore(this.#guarded((instance) => instance.snapshot()));
    return JSON.parse(decoder.decode(copy.handle(GET_CONFIG, this.#nowMs))).document;
  }

  #name(word) {
    const read = readRouteWord(word);
    if (read === undefined) return undefined;
    const { index, canary, reason } = read;
    const routed = Object.freeze({ version: this.versions[index], canary, reason });
    this.#routed.set(word, routed);
    return routed;
  }

  #draw() {
    if (this.#drawn === this.#draws.length) {
      crypto.getRandomValues(this.#draws);
      this.#drawn = 0;
    }
    return this.#draws[this.#drawn++];
  }

  #guarded(call) {
    try {
      return call(this.#instance);
    } catch (error) {
      throw this.#recovered(error);
    }
  }

  // Puts a new instance in the place of one that trapped. What is counted anew gets a
  // new epoch, since reports of the old one are numbered further than it would begin.
  #recovered(error) {
    if (!(error instanceof CrossfadeTrap)) return error;
    this.#traps += 1;
    this.#instance = NO_INSTANCE;
    try {
      this.#restart();
    } catch {
      // Told by the next call, which tries again.
      this.#instance = NO_INSTANCE;
    }
    return error;
  }

  #restart() {
    const document = this.#initDocument(randomEpoch());
    this.#start(this.#options.init === undefined ? document : withEpoch(document));
    if (this.#saved !== undefined) {
      this.#instance.restore(this.#saved);
      // Further reports must be numbered beyond those that were given since.
      for (let given = 0; given < this.#totalsSinceSaved; given++) this.#instance.totals();
    }
    if (this.#configuredSinceSaved) {
      this.#instance.handle(configureLine(this.#config), this.#nowMs);
    }
  }
}

async function compile(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source?.arrayBuffer === 'function') {
    if (source.ok === false) {
      throw new CrossfadeModuleError(`no module at ${source.url}: status ${source.status}`);
    }
    return compile(await source.arrayBuffer());
  }
  try {
    return await WebAssembly.compile(source);
  } catch (cause) {
    throw new CrossfadeModuleError(`not a WebAssembly module: ${cause.message}`, { cause });
  }
}

function instantiate(module) {
  const wanted = WebAssembly.Module.imports(module).map(({ module: from, name }) => `${from}.${name}`);
  if (wanted.length > 0) {
    throw new CrossfadeModuleError(`the module wants imports, and crossfade.wasm has none: ${wanted.join(', ')}`);
  }
  const kinds = new Map(WebAssembly.Module.exports(module).map(({ name, kind }) => [name, kind]));
  const missing = FUNCTIONS.filter((name) => kinds.get(name) !== 'function');
  if (kinds.get('memory') !== 'memory') missing.unshift('memory');
  if (missing.length > 0) {
    throw new CrossfadeModuleError(`the module does not export ${missing.join(', ')}`);
  }
  const { exports } = new WebAssembly.Instance(module, {});
  const version = exports.crossfade_abi_version() >>> 0;
  if (version !== ABI_VERSION) {
    throw new CrossfadeModuleError(`the module speaks ABI ${version}, this class speaks ${ABI_VERSION}`);
  }
  return exports;
}

function configureLine(document) {
  return JSON.stringify({ type: 'configure', msg_id: 0, document: policyOf(document) });
}

function policyOf(policy) {
  return typeof policy === 'string' ? JSON.parse(policy) : policy;
}

function versionNames({ versions }) {
  return Array.isArray(versions) ? versions : [versions.from, versions.to];
}

function withEpoch(document) {
  const text = typeof document === 'string' ? document : decoder.decode(document);
  const fields = text === '' ? {} : JSON.parse(text);
  return JSON.stringify({ ...fields, epoch: randomEpoch() });
}

/** 64 random bits as 16 hexadecimal digits. */
export function randomEpoch() {
  const words = crypto.getRandomValues(new Uint32Array(2));
  return Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
}

function seedWords(seed) {
  if (seed === undefined) return crypto.getRandomValues(new Uint32Array(2));
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`a seed is an integer from 0 to Number.MAX_SAFE_INTEGER, not ${seed}`);
  }
  return [seed >>> 0, Math.floor(seed / 2 ** 32)];
}

function textOf(line) {
  try {
    const { text, body } = JSON.parse(line.trimEnd().split('\n').at(-1));
    return text ?? body.text;
  } catch {
    return `an unexpected answer: ${line}`;
  }
}
