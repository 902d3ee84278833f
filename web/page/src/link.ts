// A whole run in a link: the script, and the moment that is shown.

import type { Script } from "./types.ts";

/** What a link holds. */
export interface Shared {
  script: Script;
  at: number;
}

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream): Promise<Uint8Array<ArrayBuffer>> {
  const done = new Blob([bytes]).stream().pipeThrough(stream as unknown as ReadableWritablePair<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>);
  return new Uint8Array(await new Response(done).arrayBuffer());
}

/** The part of the address after `#`. */
export async function write(shared: Shared): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(shared));
  const packed = await through(bytes, new CompressionStream("deflate-raw"));
  const text = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  return `#s=${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** What is in such a part: `undefined` when it holds no run.
 *  @throws when it holds one that cannot be read. */
export async function read(hash: string): Promise<Shared | undefined> {
  if (!hash.startsWith("#s=")) return undefined;
  const text = atob(hash.slice(3).replaceAll("-", "+").replaceAll("_", "/"));
  const packed = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const bytes = await through(packed, new DecompressionStream("deflate-raw"));
  const shared: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (typeof shared !== "object" || shared === null || !("script" in shared)) throw new Error("no script in it");
  const at = "at" in shared && typeof shared.at === "number" && shared.at >= 0 ? shared.at : 0;
  return { script: shared.script as Script, at };
}
