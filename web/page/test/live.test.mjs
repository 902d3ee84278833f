// The page on a real `crossfade serve`: what it shows is what the server says, what it is
// told to do is done, and a server that is gone is said.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { axe, clipped, launched, overlapping, PATIENCE_MS, program, shot, until } from './browser.mjs';

const PLAN = `
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 10, duration_minutes: 30 }
    - { percentage: 50, duration_minutes: 60 }
    - { percentage: 100, watch_minutes: 60 }
`;
const OPERATOR = 'operator-0123456789';
const READER = 'reader-0123456789ab';

/** A control plane on data of its own; `again` starts it once more where it was. */
class Server {
  constructor(t, tokens = false) {
    this.folder = mkdtempSync(join(tmpdir(), 'crossfade-live-'));
    writeFileSync(join(this.folder, 'plan.yaml'), PLAN);
    this.more = [];
    this.visitors = [];
    if (tokens) {
      const file = join(this.folder, 'tokens');
      writeFileSync(file, `alice operate ${OPERATOR}\ngrafana read ${READER}\nedges report edge-0123456789abcd\n`, { mode: 0o600 });
      this.more = ['--tokens', file];
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
    this.ended = new Promise((resolve) => child.once('exit', resolve));
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
    this.token = this.more.length > 0 ? OPERATOR : readFileSync(join(this.folder, 'data', 'operator.token'), 'utf8').trim();
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
  async report(sequence, v1, v2, token = this.more.length > 0 ? 'edge-0123456789abcd' : undefined, node = 'edge-1') {
    const version = (version, [requests, failures]) => ({ version, routed: requests, requests, failures, latency: [[20, requests]] });
    const totals = { node, epoch: '00000000000000e1', sequence, revision: 2, versions: [version('v1', v1), version('v2', v2)] };
    const response = await fetch(`${this.url}/v1/totals`, { method: 'POST', body: JSON.stringify(totals), headers: token ? { authorization: `Bearer ${token}` } : {} });
    assert.equal(response.status, 200, await response.text());
  }
}

/** The page of a server. Errors in its console that `expected` does not know fail the test. */
async function visit(server, { width = 1440, height = 900, dark = false, expected = /^$/ } = {}) {
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

const live = (page) => until(page, () => document.querySelector('.state').textContent.startsWith('Live'));
const shows = (page, selector, text) => until(page, ([selector, text]) => document.querySelector(selector)?.textContent.includes(text), [selector, text]);

async function useToken(page, token) {
  if (!(await page.locator('dialog').count())) await page.getByRole('button', { name: 'Enter token' }).click();
  await page.locator('#ask-line').fill(token);
  await page.getByRole('button', { name: 'Use it' }).click();
}

for (const dark of [false, true]) {
  for (const [width, height] of [[1440, 900], [1024, 800], [390, 844]]) {
    test(`a migration at ${width} px, ${dark ? 'dark' : 'light'}: what the server says, accessible, nothing cut off`, async (t) => {
      const server = await new Server(t).start();
      await server.report(1, [9_000, 80], [1_000, 10]);
      const page = await visit(server, { width, height, dark });
      await live(page);
      await server.report(2, [18_000, 160], [2_000, 20]);
      await shows(page, '#versions', '18,000');
      const { rollout, migration } = await server.get('/v1/status');
      assert.equal(await page.locator('.headline').textContent(), `Step ${rollout.step} of ${rollout.steps}: ${rollout.percentage} % to v2.`);
      assert.equal(await page.locator('.rail li').count(), 3);
      // The order that is seen, too: the first step is the leftmost.
      const left = await page.locator('.rail li').evaluateAll((steps) => steps.map((step) => step.getBoundingClientRect().left));
      assert.deepEqual(left, left.toSorted((a, b) => a - b));
      assert.equal(await page.locator('.rail [aria-current="step"] b').textContent(), '10 %');
      assert.match(await page.locator('#versions').textContent(), new RegExp(`v22,000${migration.outcomes.v2.failures}1.00 %`));
      await shows(page, '#nodes', 'edge-1');
      await shows(page, '#decisions', 'Step 1 began: 10 % to the new version.');
      await shows(page, '#sunset', 'the policy sends 10 % to v2');
      await until(page, () => /observed 10\.0 %/.test(document.querySelector('#health').textContent));
      await useToken(page, server.token);
      await page.getByRole('button', { name: 'Pause' }).waitFor();
      await page.locator('dialog').waitFor({ state: 'detached' });
      assert.deepEqual(await axe(page), []);
      assert.deepEqual(await page.evaluate(clipped), []);
      assert.deepEqual(await page.evaluate(overlapping), []);
      await shot(page, `live-${width}-${dark ? 'dark' : 'light'}`);
      await page.getByRole('button', { name: 'Pause' }).click();
      assert.deepEqual(await axe(page), []);
    });
  }
}

test('without a token one can look; with the operator\'s, what is pressed is done, with its reason', async (t) => {
  const server = await new Server(t).start();
  const page = await visit(server, { expected: /status of (401|409)/ });
  await live(page);
  assert.equal(await page.locator('.operator').isVisible(), false);
  await useToken(page, 'not-the-right-token');
  await until(page, () => /needs a token/.test(document.querySelector('dialog [role=alert]').textContent));
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('dialog').waitFor({ state: 'detached' });
  await live(page);
  assert.equal(await page.locator('.operator').isVisible(), false);
  await useToken(page, server.token);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.locator('dialog .wide-button').click();
  assert.match(await page.locator('dialog [role=alert]').textContent(), /Say why/);
  await page.getByLabel('Reason').fill('database maintenance');
  await page.getByLabel('Reason').press('Enter');
  await shows(page, '.headline', 'paused by an operator');
  assert.equal((await server.get('/v1/status')).rollout.phase, 'paused');
  const { audit } = await server.get('/v1/audit');
  const row = audit.find(({ what }) => what === 'pause');
  assert.equal(row.why, 'database maintenance');
  await shows(page, '#decisions', `${row.who}: database maintenance`);
  // Somebody else is faster: the server says so, in its own words.
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByLabel('Reason').fill('all is well');
  const aborted = await fetch(`${server.url}/v1/rollout/abort`, { method: 'POST', body: '{"reason":"first"}', headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' } });
  assert.equal(aborted.status, 200);
  await page.locator('dialog .wide-button').click();
  await until(page, () => /cannot resume/.test(document.querySelector('dialog [role=alert]').textContent));
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Retry' }).waitFor();
  const kept = await page.evaluate(() => [Object.keys(localStorage).includes('token'), sessionStorage.getItem('token'), location.href, document.cookie]);
  assert.deepEqual(kept, [false, server.token, `${server.url}/`, '']);
});

test('with a token file nothing is shown without one, and a reader\'s lets one look', async (t) => {
  const server = await new Server(t, true).start();
  const page = await visit(server, { expected: /status of 401/ });
  await page.locator('dialog').waitFor();
  assert.match(await page.locator('.state').textContent(), /who has a token/);
  assert.deepEqual(await axe(page), []);
  await useToken(page, 'not-the-right-token');
  await until(page, () => /needs a token/.test(document.querySelector('dialog [role=alert]').textContent));
  await useToken(page, READER);
  await live(page);
  await shows(page, '.headline', 'Step 1 of 3');
  assert.equal(await page.locator('.operator').isVisible(), false);
  await page.getByRole('button', { name: 'Forget token' }).click();
  await page.locator('dialog').waitFor();
  await useToken(page, OPERATOR);
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  // Another tab knows nothing of it.
  const other = await page.context().newPage();
  await other.goto(server.url);
  await other.locator('dialog').waitFor();
});

test('a server that is gone is said, with the age of what is shown, and found again', async (t) => {
  const server = await new Server(t).start();
  const page = await visit(server, { expected: /ERR_/ });
  await live(page);
  await shows(page, '.headline', 'Step 1 of 3');
  await useToken(page, server.token);
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await server.end('SIGKILL');
  await until(page, () => /^Connection lost: .* · shown as it was \d+ s ago$/.test(document.querySelector('.state').textContent));
  assert.match(await page.locator('.headline').textContent(), /Step 1 of 3/);
  assert.equal(await page.locator('.operator').isVisible(), false);
  assert.deepEqual(await axe(page), []);
  await shot(page, 'live-lost');
  await server.start(new URL(server.url).host);
  await live(page);
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await server.report(1, [900, 8], [100, 1]);
  await shows(page, '#versions', '900');
});

test('a rehearsal can be played beside it', async (t) => {
  const server = await new Server(t).start();
  const page = await visit(server);
  await live(page);
  const link = page.getByRole('link', { name: 'Rehearse' });
  await until(page, () => [...document.querySelectorAll('a')].some((a) => a.href.includes('#s=')));
  await link.click();
  await page.locator('.preset').first().waitFor();
  // What is played is the plan that is live.
  await until(page, () => document.querySelectorAll('.rail li').length === 3);
  assert.deepEqual(await page.locator('.rail li b').allTextContents(), ['10 %', '50 %', '100 %']);
});

/** Presses a button of the operator, is asked for a reason, and waits for what came of it. */
async function press(page, server, label, phases, { full = false } = {}) {
  await page.locator('.operator').getByRole('button', { name: label, exact: true }).click();
  await page.locator('dialog .wide-button').click();
  assert.match(await page.locator('dialog [role=alert]').textContent(), /Say why/);
  await page.getByLabel('Reason').fill(`because of ${label}`);
  if (full) await page.getByLabel('All the way').check();
  await page.locator('dialog .wide-button').click();
  await page.locator('dialog').waitFor({ state: 'detached' });
  await shows(page, '#decisions', `because of ${label}`);
  const { rollout } = await server.get('/v1/status');
  assert.ok(phases.includes(rollout.phase), `${label}: ${rollout.phase}`);
  pressed.add(label);
  return rollout;
}
const pressed = new Set();

test('every button of an operator does what it says, with its reason', async (t) => {
  const server = await new Server(t).start();
  const page = await visit(server);
  await live(page);
  await useToken(page, server.token);
  const offered = new Set();
  const look = async () => {
    for (const name of await page.locator('.operator button').allTextContents()) offered.add(name);
  };
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await look();
  await press(page, server, 'Pause', ['paused']);
  await page.getByRole('button', { name: 'Resume' }).waitFor();
  await look();
  await press(page, server, 'Resume', ['progressing']);
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  assert.equal((await press(page, server, 'Promote', ['progressing'])).percentage, 50);
  await shows(page, '.headline', 'Step 2 of 3');
  assert.equal((await press(page, server, 'Promote', ['completed'], { full: true })).percentage, 100);
  await shows(page, '.headline', 'Completed: 100 % to v2.');
  await page.getByRole('button', { name: 'Undo' }).waitFor();
  await look();
  assert.equal((await press(page, server, 'Undo', ['undone'])).percentage, 0);
  await page.getByRole('button', { name: 'Retry' }).waitFor();
  await look();
  await press(page, server, 'Retry', ['progressing']);
  await page.getByRole('button', { name: 'Abort' }).waitFor();
  await press(page, server, 'Abort', ['aborted']);
  await page.getByRole('button', { name: 'Retry' }).waitFor();
  await look();
  await press(page, server, 'Retry', ['progressing']);
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  // Whatever was offered on the way was pressed: a button that is new needs its line here.
  assert.deepEqual([...offered].filter((name) => !pressed.has(name)), []);
});

test('old decisions and many nodes are counted, not listed', async (t) => {
  const server = await new Server(t).start();
  const act = (what) => fetch(`${server.url}/v1/rollout/${what}`, { method: 'POST', body: '{"reason":"again"}', headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' } });
  for (let i = 0; i < 60; i += 1) {
    assert.equal((await act('pause')).status, 200);
    assert.equal((await act('resume')).status, 200);
  }
  for (let i = 0; i < 23; i += 1) await server.report(1, [10, 0], [1, 0], undefined, `edge-${i}`);
  const page = await visit(server);
  await live(page);
  const older = page.getByRole('button', { name: /^Show older \(\d+\)/ });
  await older.waitFor();
  assert.equal(await page.locator('.log li').count(), 100);
  await older.click();
  await older.waitFor({ state: 'hidden' });
  assert.ok((await page.locator('.log li').count()) > 120);
  await shows(page, '#decisions', 'Step 1 began: 10 % to the new version.');
  await shows(page, '#nodes', '3 more nodes are not listed here.');
  assert.equal(await page.locator('#nodes tbody tr').count(), 20);
  await shows(page, '#health', 'drawn since this page was opened at ');
});
