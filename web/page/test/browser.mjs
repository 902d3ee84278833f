// What the tests share: the real program, a real Chromium, and pages whose errors count.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

import { initSync, Simulation } from '../src/wasm/crossfade_web.js';

/** Long enough for a machine that has other work, too. */
export const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 60_000);

/** The built program. */
export const program = process.env.CROSSFADE;
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
let address;
after(async () => (await browser).close());

/** The browser of all tests. */
export const launched = () => browser;

/** Where the page is. */
export const url = () => (address ??= serve());

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
  const origin = new URL(await url()).origin;
  page.on('request', (request) => {
    const from = new URL(request.url());
    if (from.protocol.startsWith('http') && from.origin !== origin) wrong.push(`asked ${from.origin}`);
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, [], 'errors in the console');
  });
  await page.goto(`${await url()}${path}${hash}`);
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
  await page.evaluate(() => history.replaceState(null, '', location.pathname));
  // Who has just pressed it reads for a moment what became of that.
  await page.getByRole('button', { name: /^(Copy link|Copied|In the address bar)$/ }).click();
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
  if (!started) initSync({ module: readFileSync(new URL('../src/wasm/crossfade_web_bg.wasm', import.meta.url)) });
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

const shots = process.env.PAGE_SHOTS;

/** A picture to look at, where a folder for pictures is named. */
export async function shot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: `${shots}/${name}.png` });
}

/** Everything that sticks out of the window, or whose text is cut off. */
export const clipped = () => {
  const found = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const element of document.querySelectorAll('h1, h2, h3, p, button, label, dd, dt, li, th, td, input, select, small, time')) {
    if (element.closest('.offscreen, [hidden], dialog:not([open]), details:not([open]) > :not(summary)') || element.classList.contains('offscreen') || element.classList.contains('skip')) continue;
    const box = element.getBoundingClientRect();
    if (box.width === 0) continue;
    const name = `${element.tagName.toLowerCase()}.${element.className} "${element.textContent.slice(0, 40)}"`;
    if (box.right > width + 1 || box.left < -1) found.push(`${name} sticks out: ${Math.round(box.left)} to ${Math.round(box.right)}`);
    const inside = element.closest('.card')?.getBoundingClientRect();
    if (inside && !element.closest('.scroll') && box.right > inside.right + 1) found.push(`${name} leaves its card`);
    const style = getComputedStyle(element);
    if (element.scrollWidth > element.clientWidth + 1 && style.overflowX !== 'visible' && style.display !== 'inline' && element.clientWidth > 0) found.push(`${name} is cut off`);
  }
  return found;
};

/** Pairs of cards and controls that cover each other. */
export const overlapping = () => {
  const found = [];
  const sets = [[...document.querySelectorAll('.card')], [...document.querySelectorAll('.bar > *, .operator')].filter((e) => getComputedStyle(e).position !== 'fixed')];
  for (const set of sets) {
    const boxes = set.map((element) => ({ element, box: element.getBoundingClientRect() })).filter(({ box }) => box.width > 0);
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => {
      const across = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
      const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
      if (across > 1 && down > 1) found.push(`${a.element.className} and ${b.element.className}`);
    }));
  }
  return found;
};
