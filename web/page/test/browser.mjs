// What the tests share: the real program, a real Chromium, and pages whose errors count.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

import { initSync, Simulation } from '../../pkg/crossfade_web.js';

/** Long enough for a machine that has other work, too. */
export const PATIENCE_MS = 60_000;

const program = process.env.CROSSFADE;
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium-headless-shell';

/** The address of `crossfade ui` on a free port, which ends with the tests. */
async function serve() {
  // While one works on the page, that of `vite preview` or another server.
  if (process.env.PAGE_URL) return process.env.PAGE_URL;
  if (!program) throw new Error('CROSSFADE names no program: run `cargo xtask test-page`');
  const child = spawn(program, ['ui', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  after(() => child.kill('SIGINT'));
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    new Promise((resolve) => lines.once('line', (line) => resolve([line]))),
    new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`crossfade ui ended with ${code}`)))),
  ]);
  return line.trim();
}

const browser = chromium.launch({
  executablePath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const address = serve();
after(async () => (await browser).close());

/** Where the page is. */
export const url = () => address;

/** A page in a window of its own. Every error in its console, and every request to
 *  another host, fails the test that closes it. */
export async function open(t, { width = 1440, height = 900, dark = false, still = false, hash = '', path = '' } = {}) {
  const context = await (await browser).newContext({
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
    reducedMotion: still ? 'reduce' : 'no-preference',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  page.on('pageerror', (error) => wrong.push(String(error)));
  const origin = new URL(await address).origin;
  page.on('request', (request) => {
    const from = new URL(request.url());
    if (from.protocol.startsWith('http') && from.origin !== origin) wrong.push(`asked ${from.origin}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, [], 'errors in the console');
  });
  await page.goto(`${await address}${path}${hash}`);
  await page.locator('.preset').first().waitFor();
  await page.locator('#health canvas').first().waitFor();
  return page;
}

/** Waits until this holds in the page. */
export const until = (page, test, argument) => page.waitForFunction(test, argument, { timeout: PATIENCE_MS, polling: 100 });

/** Sets the speed; 400 on the slider is 10,000 times. */
export async function setSpeed(page, slider) {
  await page.locator('.speed input').fill(String(slider));
}

/** Waits for a phase of the rollout. */
export const phase = (page, name) => until(page, (name) => document.querySelector('.bar').dataset.phase === name, name);

/** What the page's engine makes of all it did, and when. */
export async function digest(page) {
  await page.evaluate(() => {
    delete document.documentElement.dataset.digest;
    dispatchEvent(new Event('crossfade:digest'));
  });
  await until(page, () => document.documentElement.dataset.digest);
  const [digest, now] = (await page.evaluate(() => document.documentElement.dataset.digest)).split('@');
  return { digest, now: Number(now) };
}

/** The script of a link, as the page writes it. */
export async function scriptOf(page) {
  await page.getByRole('button', { name: 'Copy link' }).click();
  await until(page, () => location.hash.startsWith('#s='));
  return page.evaluate(async () => {
    const bytes = Uint8Array.from(atob(location.hash.slice(3).replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return JSON.parse(await new Response(plain).text());
  });
}

/** A link with this script. */
export async function linkOf(shared) {
  const bytes = new Blob([JSON.stringify(shared)]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  return `#s=${Buffer.from(await new Response(bytes).arrayBuffer()).toString('base64url')}`;
}

let started = false;

/** The same run here, in Node. */
export function here(script) {
  if (!started) initSync({ module: readFileSync(new URL('../../pkg/crossfade_web_bg.wasm', import.meta.url)) });
  started = true;
  return new Simulation(JSON.stringify(script));
}

/** Runs axe, and gives what it finds. */
export async function axe(page) {
  const source = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
  await page.evaluate(source);
  return page.evaluate(async () => {
    const found = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return found.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => `${node.target} ${node.failureSummary}`).slice(0, 4).join(' | ')}`);
  });
}
