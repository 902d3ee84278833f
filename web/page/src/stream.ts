// What a running server tells: its status and its events, for as long as it can be reached.

/** A connection on which nothing was said for so long is none: there is a sign of life
 *  every fifteen seconds. */
const SILENCE_MS = 40_000;
const AGAIN_MS = [1_000, 2_000, 4_000, 8_000];

/** Before each further try of a command that may not have been done. */
const TELL_AGAIN_MS = [300, 700, 1_000, 2_000, 4_000];

export interface Listener {
  /** The status document. */
  status(document: unknown): void;
  /** Numbers for charts, those of now the last; see host/src/serve/history.rs. */
  samples(samples: Sample[]): void;
  /** Another server leads, at this address if that is known. */
  standsBy(leader: string | null): void;
  /** The server is there, and cannot tell how things stand. */
  troubled(why: string): void;
  /** Something was decided. */
  event(): void;
  /** There is a connection; whether its holder may change things. */
  open(operates: boolean): void;
  /** It broke off, or never came about; it is tried again. */
  lost(why: string): void;
  /** A token is needed, or another one. */
  denied(why: string): void;
}

/** Numbers of a moment; what is not known is missing. Those of the stable version come
 *  first. */
export interface Sample {
  now_ms: number;
  step: number;
  percentage: number;
  requests: [number, number];
  failures: [number, number];
  old_clients?: number;
  ratio?: number;
  low?: number;
  high?: number;
  worse?: number;
  healthy?: number;
  slow?: { ms: number; measured: [number, number]; slower: [number, number] };
}

/** What the server says about an answer that is none. */
export async function sentence(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { detail?: string; title?: string };
    return problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

export class Stream {
  private abort = new AbortController();
  private after: string | undefined;
  private failures = 0;
  private retry = 0;

  constructor(private listener: Listener) {}

  /** Kept for this tab alone, and gone with it. */
  get token(): string {
    return sessionStorage.getItem("token") ?? "";
  }

  set token(token: string) {
    if (token) sessionStorage.setItem("token", token);
    else sessionStorage.removeItem("token");
  }

  ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.token) headers.set("authorization", `Bearer ${this.token}`);
    return fetch(path, { ...init, headers, cache: "no-store", redirect: "manual" });
  }

  /** Has something done, once: asks again with the same key while nobody knows whether it
   *  was. Throws when that is not known in the end. */
  async tell(path: string, body: string, key: string): Promise<Response> {
    const headers = { "content-type": "application/json", "idempotency-key": `"${key}"` };
    let unclear = false;
    for (let tries = 0; ; tries += 1) {
      const response = await this.ask(path, { method: "POST", body, headers }).catch(() => undefined);
      if (response && ![502, 503, 504].includes(response.status)) return response;
      unclear ||= response?.status !== 503;
      const wait = TELL_AGAIN_MS[tries];
      if (wait !== undefined) await new Promise((done) => setTimeout(done, wait));
      else if (response && !unclear) return response;
      else throw new Error(`nothing certain was heard of ${path}`);
    }
  }

  /** Begins anew, with the token that there is now. */
  connect(): void {
    this.abort.abort();
    clearTimeout(this.retry);
    this.abort = new AbortController();
    void this.follow(this.abort);
  }

  private async follow(abort: AbortController): Promise<void> {
    let why = "the server ended it";
    try {
      const headers: Record<string, string> = this.after ? { "last-event-id": this.after } : {};
      const events = await this.ask("v1/events?status=1", { signal: abort.signal, headers });
      if (events.status === 401 || events.status === 403) {
        const denied = await sentence(events);
        if (!abort.signal.aborted) this.listener.denied(denied);
        return;
      }
      if (!events.ok || !events.body) throw new Error(await sentence(events));
      if (abort.signal.aborted) return;
      this.failures = 0;
      this.listener.open(events.headers.get("crossfade-role") === "operate");
      await this.read(events.body, abort);
    } catch (error) {
      why = error instanceof TypeError ? "the server cannot be reached" : error instanceof Error ? error.message : String(error);
    }
    if (abort.signal.aborted && abort !== this.abort) return;
    this.listener.lost(why);
    const wait = AGAIN_MS[Math.min(this.failures, AGAIN_MS.length - 1)]!;
    this.failures += 1;
    this.retry = setTimeout(() => this.connect(), wait);
  }

  private async read(body: ReadableStream<Uint8Array>, abort: AbortController): Promise<void> {
    const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
    let rest = "";
    for (;;) {
      const silence = setTimeout(() => abort.abort(new Error("the server has fallen silent")), SILENCE_MS);
      const { value, done } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      const messages = (rest + value).split("\n\n");
      rest = messages.pop() ?? "";
      for (const message of messages) this.take(message);
    }
  }

  private take(message: string): void {
    const field = (name: string) => message.split("\n").filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
    const [kind, data] = [field("event"), field("data")];
    this.after = field("id") || this.after;
    if (kind === "event") return this.listener.event();
    if (!data) return;
    const told: unknown = JSON.parse(data);
    if (kind === "status") this.listener.status(told);
    else if (kind === "samples") this.listener.samples(told as Sample[]);
    else if (kind === "standby") this.listener.standsBy((told as { leader: string | null }).leader);
    else if (kind === "trouble") this.listener.troubled((told as { why: string }).why);
  }
}
