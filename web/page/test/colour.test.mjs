// Colours that carry meaning, as people see them who see fewer, and in grey.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { open, phase, setSpeed, shot } from './browser.mjs';

/** Full deficiency, for linear light: Machado, Oliveira and Fernandes 2009. */
const SIGHTS = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritan: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
  grey: [[0.2126, 0.7152, 0.0722], [0.2126, 0.7152, 0.0722], [0.2126, 0.7152, 0.0722]],
};
const linear = (byte) => (byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
const seen = (rgb, matrix) => matrix.map((row) => Math.min(1, Math.max(0, row.reduce((sum, part, at) => sum + part * linear(rgb[at]), 0))));
const luminance = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
const contrast = (a, b, matrix) => {
  const [low, high] = [a, b].map((rgb) => luminance(seen(rgb, matrix))).sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

/** Pairs, and the least contrast: WCAG's 3 for graphics on their ground and 4.5 for text.
 *  The two versions have hue, too, for whoever sees hues; in grey brightness alone has to
 *  do, beside hollow and filled squares and labelled ends. */
const PAIRS = [
  ['v1', 'v2', 1.4, 1.8], ['v1', 'card', 3], ['v2', 'card', 3], ['back', 'card', 3], ['ink', 'card', 4.5], ['muted', 'card', 4.5], ['v2-text', 'card', 4.5],
  // The state in the bar, and a failed step in the rail, on the page's own ground.
  ['back', 'bg', 3], ['v2', 'bg', 3], ['ink', 'bg', 4.5], ['muted', 'bg', 4.5],
];

for (const dark of [false, true]) {
  test(`colours that mean something differ for everybody, ${dark ? 'dark' : 'light'}`, async (t) => {
    const page = await open(t, { dark, still: true });
    const names = [...new Set(PAIRS.flatMap(([a, b]) => [a, b]))];
    const tones = await page.evaluate((names) => {
      const probe = document.body.appendChild(document.createElement('i'));
      const read = (name) => {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color.match(/\d+/g).slice(0, 3).map(Number);
      };
      const tones = Object.fromEntries(names.map((name) => [name, read(name)]));
      probe.remove();
      return tones;
    }, names);
    const found = [];
    for (const [a, b, hued, grey = hued] of PAIRS) {
      for (const [sight, matrix] of Object.entries(SIGHTS)) {
        const least = sight === 'grey' ? grey : hued;
        const ratio = contrast(tones[a], tones[b], matrix);
        t.diagnostic(`${a} and ${b}, ${sight}: ${ratio.toFixed(2)}`);
        if (ratio < least) found.push(`${a} and ${b}, ${sight}: ${ratio.toFixed(2)} of ${least}`);
      }
    }
    assert.deepEqual(found, []);
  });

  test(`without any colour every state has its sign and its word, ${dark ? 'dark' : 'light'}`, async (t) => {
    const page = await open(t, { dark, still: true });
    await page.evaluate(() => { document.documentElement.style.filter = 'grayscale(1)'; });
    const state = () => page.locator('.pill').evaluate((pill) => [...pill.children].map((part) => part.textContent));
    const running = await state();
    await page.getByRole('button', { name: 'v2 fails ×3' }).click();
    await setSpeed(page, 330);
    await phase(page, 'rolled_back');
    const back = await state();
    assert.notEqual(running[0], back[0]);
    assert.notEqual(running[1], back[1]);
    // A step that failed is hatched, and says so; v1 is hollow and v2 filled, and labelled.
    assert.match(await page.locator('.rail .failed .time').evaluate((bar) => getComputedStyle(bar).backgroundImage + getComputedStyle(bar.parentElement).backgroundImage), /repeating-linear-gradient/);
    assert.match(await page.locator('.rail .failed').textContent(), /taken back/);
    await shot(page, `grey-${dark ? 'dark' : 'light'}`);
  });
}
