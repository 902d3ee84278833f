// What drawing costs. The times are reported, never judged: a machine may have other work.
// What decides them is judged: how many points a chart has, and how often it is drawn.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { open, setSpeed, until } from './browser.mjs';

for (const [slider, name, minutes] of [[400, '10,000 times', 60], [0, 'real time', 0]]) {
  test(`charts at ${name}`, async (t) => {
    const page = await open(t);
    await setSpeed(page, slider);
    if (minutes > 0) await until(page, () => document.querySelector('.clock').textContent >= '01:00:00');
    await page.evaluate(() => { globalThis.drawn = []; addEventListener('crossfade:drawn', (event) => globalThis.drawn.push(event.detail)); });
    const wanted = minutes > 0 ? 30 : 2;
    await until(page, (wanted) => globalThis.drawn.length >= wanted || document.querySelector('.reached').textContent === 'paused', wanted);
    const drawn = await page.evaluate(() => globalThis.drawn);
    assert.ok(drawn.length > 0, 'the charts were drawn');
    const costs = drawn.map(({ ms }) => ms).sort((a, b) => a - b);
    const at = (part) => costs[Math.min(costs.length - 1, Math.floor(part * costs.length))].toFixed(1);
    t.diagnostic(`all charts, ${costs.length} times: median ${at(0.5)} ms, slowest of a hundred ${at(0.99)} ms`);
    for (const { charts, points } of drawn) {
      assert.equal(charts, 5);
      assert.ok(points <= 600, `${points} points a line`);
    }
  });
}
