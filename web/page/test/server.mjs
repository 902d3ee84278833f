// A real `crossfade serve`, and pages that look at it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { launched, PATIENCE_MS, program, until } from './browser.mjs';

export const PLAN = `
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 10, duration_minutes: 30 }
    - { percentage: 50, duration_minutes: 60 }
    - { percentage: 100, watch_minutes: 60 }
`;
export const OPERATOR = 'operator-0123456789';
export const READER = 'reader-0123456789ab';

/** What a test that failed left running would keep the others from ending. */
export const children = new Set();
after(() => children.forEach((child) => child.kill('SIGKILL')));

/** A control plane on data of its own; `again` starts it once more where it was. */
export class Server {
  constructor(t, tokens = false, { plan = PLAN, more = [] } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'crossfade-live-'));
    writeFileSync(join(this.folder, 'plan.yaml'), plan);
    this.more = [...more];
    this.visitors = [];
    if (tokens) {
      const file = join(this.folder, 'tokens');
      writeFileSync(file, `alice operate ${OPERATOR}\ngrafana read ${READER}\nedges report edge-0123456789abcd\n`, { mode: 0o600 });
      this.more.push('--tokens', file);
      this.guarded = true;
    }
    t.after(async () => {
      // A page whose server ends first has something to say about that.
      const closed = await Promise.allSettled(this.visitors.map((close) => close()));
      await this.end();
      rmSync(this.folder, { recursive: true });
      for (const { reason } of closed) if (reason) throw reason;
    });
  }

  async start(listen = '127.0.0.1:0') {
    const child = spawn(program, ['serve', join(this.folder, 'plan.yaml'), '--data', join(this.folder, 'data'), '--listen', listen, ...this.more], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    children.add(child);
    this.ended = new Promise((resolve) => child.once('exit', resolve)).then(() => children.delete(child));
    const lines = createInterface({ input: child.stderr });
    const said = [];
    this.url = await new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        said.push(line);
        const at = line.split('listening on ')[1];
        if (at) resolve(at.trim());
      });
      child.once('exit', (code) => reject(new Error(`crossfade serve ended with ${code}: ${said.join('\n')}`)));
    });
    this.token = this.guarded ? OPERATOR : readFileSync(join(this.folder, 'data', 'operator.token'), 'utf8').trim();
    return this;
  }

  async end(signal = 'SIGTERM') {
    this.child?.kill(signal);
    await this.ended;
  }

  async get(path) {
    const response = await fetch(this.url + path, { headers: { authorization: `Bearer ${this.token}` } });
    assert.equal(response.status, 200, path);
    return response.json();
  }

  /** What a node counted since it began. */
  async report(sequence, v1, v2, token = this.guarded ? 'edge-0123456789abcd' : undefined, node = 'edge-1') {
    const version = (version, [requests, failures]) => ({ version, routed: requests, requests, failures, latency: [[20, requests]] });
    const totals = { node, epoch: '00000000000000e1', sequence, revision: 2, versions: [version('v1', v1), version('v2', v2)] };
    const response = await fetch(`${this.url}/v1/totals`, { method: 'POST', body: JSON.stringify(totals), headers: token ? { authorization: `Bearer ${token}` } : {} });
    assert.equal(response.status, 200, await response.text());
  }
}

/** The page of a server. Errors in its console that `expected` does not know fail the test. */
export async function visit(server, { width = 1440, height = 900, dark = false, expected = /^$/ } = {}) {
  const context = await (await launched()).newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && !expected.test(message.text()) && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('request', (request) => new URL(request.url()).origin === new URL(server.url).origin || wrong.push(`asked ${request.url()}`));
  server.visitors.push(async () => {
    await context.close();
    assert.deepEqual(wrong, [], 'errors in the console');
  });
  const answer = await page.goto(`${server.url}/`);
  assert.match(answer.headers()['content-security-policy'], /default-src 'none'/);
  return page;
}

export const live = (page) => until(page, () => document.querySelector('.state').textContent.startsWith('Live'));
export const shows = (page, selector, text) => until(page, ([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text]);

export async function useToken(page, token) {
  if (!(await page.locator('dialog').count())) await page.getByRole('button', { name: 'Enter token' }).click();
  await page.locator('#ask-line').fill(token);
  await page.getByRole('button', { name: 'Use it' }).click();
}
