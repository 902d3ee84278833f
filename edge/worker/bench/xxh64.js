// xxHash64 of short text, and its bucket, in plain JavaScript: 32-bit arithmetic, two
// halves to a number, no BigInt. What a worker without WebAssembly would have to do.

// The primes of xxHash64, high half and low half.
const P1H = 0x9e3779b1, P1L = 0x85ebca87;
const P2H = 0xc2b2ae3d, P2L = 0x27d4eb4f;
const P3H = 0x165667b1, P3L = 0x9e3779f9;
const P4H = 0x85ebca77, P4L = 0xc2b2ae63;
const P5H = 0x27d4eb2f, P5L = 0x165667c5;

const encoder = new TextEncoder();
let bytes = new Uint8Array(4096);

// The number being worked on.
let high = 0;
let low = 0;

function multiply(h, l) {
  const a = low & 0xffff, b = low >>> 16;
  const c = l & 0xffff, d = l >>> 16;
  const ac = Math.imul(a, c), ad = Math.imul(a, d), bc = Math.imul(b, c);
  const middle = (ac >>> 16) + (ad & 0xffff) + (bc & 0xffff);
  const carried = Math.imul(b, d) + (ad >>> 16) + (bc >>> 16) + (middle >>> 16);
  high = (carried + Math.imul(high, l) + Math.imul(low, h)) | 0;
  low = Math.imul(low, l);
}

function add(h, l) {
  const sum = (low >>> 0) + (l >>> 0);
  high = (high + h + (sum > 0xffff_ffff ? 1 : 0)) | 0;
  low = sum | 0;
}

function rotate(by) {
  const h = high, l = low;
  if (by < 32) {
    high = (h << by) | (l >>> (32 - by));
    low = (l << by) | (h >>> (32 - by));
  } else if (by === 32) {
    high = l;
    low = h;
  } else {
    high = (l << (by - 32)) | (h >>> (64 - by));
    low = (h << (by - 32)) | (l >>> (64 - by));
  }
}

const word = (at) => bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);

// round(0, lane): what a lane of eight bytes becomes.
function lane(at) {
  high = word(at + 4);
  low = word(at);
  multiply(P2H, P2L);
  rotate(31);
  multiply(P1H, P1L);
}

const accumulators = new Int32Array(8);

function long(length) {
  const start = [[P1H, P1L, P2H, P2L], [P2H, P2L, 0, 0], [0, 0, 0, 0]];
  for (let n = 0; n < 4; n++) {
    if (n < 3) {
      const [h, l, h2, l2] = start[n];
      [high, low] = [h | 0, l | 0];
      add(h2, l2);
    } else {
      // 0 - P1
      [high, low] = [~P1H, ~P1L];
      add(0, 1);
    }
    accumulators[2 * n] = high;
    accumulators[2 * n + 1] = low;
  }
  let at = 0;
  for (; at + 32 <= length; at += 32) {
    for (let n = 0; n < 4; n++) {
      high = word(at + 8 * n + 4);
      low = word(at + 8 * n);
      multiply(P2H, P2L);
      add(accumulators[2 * n], accumulators[2 * n + 1]);
      rotate(31);
      multiply(P1H, P1L);
      accumulators[2 * n] = high;
      accumulators[2 * n + 1] = low;
    }
  }
  let h = 0, l = 0;
  for (const [n, by] of [[0, 1], [1, 7], [2, 12], [3, 18]]) {
    high = accumulators[2 * n];
    low = accumulators[2 * n + 1];
    rotate(by);
    add(h, l);
    [h, l] = [high, low];
  }
  for (let n = 0; n < 4; n++) {
    high = accumulators[2 * n];
    low = accumulators[2 * n + 1];
    multiply(P2H, P2L);
    rotate(31);
    multiply(P1H, P1L);
    high ^= h;
    low ^= l;
    multiply(P1H, P1L);
    add(P4H, P4L);
    [h, l] = [high, low];
  }
  return at;
}

/** The bucket of a key without a salt, 0 to 9,999. */
export function bucketOf(key) {
  let length = key.length;
  let plain = length <= 64;
  for (let at = 0; plain && at < length; at++) {
    const unit = key.charCodeAt(at);
    bytes[at] = unit;
    plain = unit < 0x80;
  }
  if (!plain) length = encoder.encodeInto(key, bytes).written;

  let at = 0;
  if (length >= 32) at = long(length);
  else [high, low] = [P5H, P5L];
  add(0, length);
  for (; at + 8 <= length; at += 8) {
    const h = high, l = low;
    lane(at);
    high ^= h;
    low ^= l;
    rotate(27);
    multiply(P1H, P1L);
    add(P4H, P4L);
  }
  if (at + 4 <= length) {
    const h = high, l = low;
    high = 0;
    low = word(at);
    multiply(P1H, P1L);
    high ^= h;
    low ^= l;
    rotate(23);
    multiply(P2H, P2L);
    add(P3H, P3L);
    at += 4;
  }
  for (; at < length; at++) {
    const h = high, l = low;
    high = 0;
    low = bytes[at];
    multiply(P5H, P5L);
    high ^= h;
    low ^= l;
    rotate(11);
    multiply(P1H, P1L);
  }
  // x ^= x >>> 33, and so on.
  low ^= high >>> 1;
  multiply(P2H, P2L);
  [high, low] = [high ^ (high >>> 29), low ^ ((low >>> 29) | (high << 3))];
  multiply(P3H, P3L);
  low ^= high;
  // 2^32 is 7296 modulo 10,000.
  return (((high >>> 0) % 10_000) * 7296 + ((low >>> 0) % 10_000)) % 10_000;
}
