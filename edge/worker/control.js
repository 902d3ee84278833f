// The control server, as a worker sees it: GET /v1/policy, POST /v1/totals and POST
// /v1/client-reports.

/** As the contract has it. */
const ANSWER_BYTES_MAX = 4 << 20;

/** What went wrong, and of which kind: `network`, `status`, `answer` or `too_large`. */
export class ControlError extends Error {
  constructor(kind, message, cause) {
    super(message, { cause });
    this.kind = kind;
  }
}

export class Control {
  #fetch;
  #base;
  #headers;
  #timeoutMs;
  #etag;

  /** `target` is a service binding or a URL. */
  constructor(target, { token, timeoutMs }) {
    const bound = typeof target !== 'string';
    this.#fetch = bound ? (...args) => target.fetch(...args) : (...args) => fetch(...args);
    this.#base = bound ? 'http://crossfade' : target.replace(/\/+$/, '');
    this.#headers = token ? { authorization: `Bearer ${token}` } : {};
    this.#timeoutMs = timeoutMs;
  }

  /** `{revision, document}`, or undefined when it is the one that was given before. */
  async policy() {
    const conditional = this.#etag ? { 'if-none-match': this.#etag } : {};
    const response = await this.#send('/v1/policy', { headers: { ...this.#headers, ...conditional } });
    if (response.status === 304 && this.#etag) return undefined;
    const { revision, document } = parsed(await this.#body(response));
    if (!Number.isSafeInteger(revision) || revision < 0 || typeof document !== 'object' || document === null) {
      throw new ControlError('answer', 'the answer has no `revision` and `document`');
    }
    this.#etag = response.headers.get('etag') ?? undefined;
    return { revision, document };
  }

  /** Hands totals in, one line each. Done, too, when the server refused some of them. */
  async totals(lines) {
    const headers = { ...this.#headers, 'content-type': 'application/json' };
    const response = await this.#send('/v1/totals', { method: 'POST', headers, body: lines });
    if (response.status !== 400) return void (await this.#body(response));
    const refused = (await this.#text(response)).split('\n').filter((line) => line.includes('"error"'));
    console.warn(`crossfade: control server: ${refused.length} totals are refused: ${refused[0]}`);
  }

  /** Hands a report of clients in. False when it never will be taken. */
  async clients(line) {
    const headers = { ...this.#headers, 'content-type': 'application/json' };
    const response = await this.#send('/v1/client-reports', { method: 'POST', headers, body: line });
    if (response.status !== 400 && response.status !== 413) {
      await this.#body(response);
      return true;
    }
    const said = (await this.#text(response)).slice(0, 200);
    console.warn(`crossfade: control server: a report of clients is refused: ${said}`);
    return false;
  }

  async #send(path, options) {
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs);
      return await this.#fetch(this.#base + path, { ...options, signal, redirect: 'manual' });
    } catch (cause) {
      throw new ControlError('network', `${path}: ${cause.message}`, cause);
    }
  }

  async #body(response) {
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new ControlError('status', `answered ${response.status}`);
    }
    return this.#text(response);
  }

  async #text(response) {
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    try {
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) break;
        text += decoder.decode(chunk, { stream: true });
      }
    } catch (cause) {
      throw new ControlError('network', `while reading: ${cause.message}`, cause);
    }
    if (bytes > ANSWER_BYTES_MAX) {
      throw new ControlError('too_large', `over ${ANSWER_BYTES_MAX} bytes`);
    }
    return text + decoder.decode();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch (cause) {
    throw new ControlError('answer', `not JSON: ${cause.message}`, cause);
  }
}
