// Where a request's key and attributes are: what a plan's `key` and `attributes` name.
//
// The runtime gives headers as text, repeated ones joined by ", ", and what is not UTF-8
// as U+FFFD. So a header that came twice cannot be told from one with a comma in it, and
// neither is a key; nor is text whose bytes are not known.

import { KEY_BYTES_MAX } from './crossfade.js';

/** The engine refuses an attribute that is longer, in bytes. */
const ATTRIBUTE_BYTES_MAX = 4096;

const encoder = new TextEncoder();

/** A function from headers to the routing key, or undefined where there is none. */
export function keyLookup(plan, addressHeader) {
  const { key } = plan;
  if (key === 'address' || key.address) return (headers) => keyOf(headers.get(addressHeader));
  const source = key.attribute === undefined ? key : plan.attributes?.[key.attribute];
  const value = valueLookup(source);
  return value && ((headers) => keyOf(value(headers)));
}

/** A function from headers to attributes by name; none but those whose source is named. */
export function attributesLookup(plan) {
  const lookups = Object.entries(plan.attributes ?? {}).map(([name, source]) => [name, valueLookup(source)]);
  return (headers) => {
    const attributes = {};
    for (const [name, lookup] of lookups) {
      const value = lookup(headers);
      if (value !== undefined && fits(value, ATTRIBUTE_BYTES_MAX)) attributes[name] = value;
    }
    return attributes;
  };
}

/** A function from headers to one value, which has to be as sound as a key. */
export function attributeLookup(source) {
  const look = valueLookup(source);
  return (headers) => keyOf(look(headers));
}

function valueLookup(source) {
  if (source?.header !== undefined) return (headers) => headers.get(source.header) ?? undefined;
  if (source?.cookie !== undefined) return (headers) => cookie(headers.get('cookie'), source.cookie);
  return undefined;
}

function keyOf(value) {
  if (!value || value.includes(',') || !fits(value, KEY_BYTES_MAX)) return undefined;
  return value;
}

function fits(value, bytesMax) {
  if (value.length > bytesMax || value.includes('\ufffd')) return false;
  return value.length * 3 <= bytesMax || encoder.encode(value).length <= bytesMax;
}

/** A cookie's value; undefined when it is absent or there twice. */
export function cookie(header, name) {
  let found;
  // A cookie header that came twice is joined by a comma, which no cookie may contain.
  for (const pair of (header ?? '').split(/[;,]/)) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    if (found !== undefined) return undefined;
    found = pair.slice(equals + 1).trim();
  }
  return found;
}
