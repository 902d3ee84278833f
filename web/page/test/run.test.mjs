// A run: it plays, a fault takes v2 back with the engine's own numbers, and the same seed
// gives the same run here and in the browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { digest, here, linkOf, open, phase, scriptOf, setSpeed, until } from './browser.mjs';

const seconds = (text) => text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
const clock = async (page) => seconds(await page.locator('.clock').textContent());

test('the page begins to play by itself', async (t) => {
  const page = await open(t);
  await until(page, () => document.querySelector('.headline').textContent.startsWith('Step 1 of 5: 1 % to v2'));
  const before = await clock(page);
  await until(page, (before) => document.querySelector('.clock').textContent > before, await page.locator('.clock').textContent());
  assert.ok((await clock(page)) > before);
  assert.match(await page.locator('#clients .note').textContent(), /on v1/);
});

test('a version that fails more often is taken back, and the sentence has the numbers of the evidence', async (t) => {
  const page = await open(t);
  await page.getByRole('button', { name: 'v2 fails ×3' }).click();
  await setSpeed(page, 330);
  await phase(page, 'rolled_back');
  await until(page, () => document.querySelector('.headline').textContent.includes('Rolled back in step 2'));
  const { script } = await scriptOf(page);
  const run = here(script);
  run.runTo(3_600_000, Infinity, 1);
  const rollback = run.takeEvents().find((told) => told.event.event === 'rollback_started');
  const { step, window } = rollback.event.evidence.failures;
  assert.ok(step.canary_failures > 0);
  const why = await page.locator('.why').textContent();
  assert.ok(rollback.event.sentence.endsWith(why), `${why} in ${rollback.event.sentence}`);
  assert.ok(why.includes(`${window.canary_failures.toLocaleString('en-US')} of v2's last ${window.canary_requests.toLocaleString('en-US')}`), why);
  assert.equal(await page.locator('.rail .failed').count(), 1);
  assert.match(await page.locator('#decisions').textContent(), /Rollback from 10 %/);
  assert.match(await page.locator('#sunset').textContent(), /Not yet/);
});

test('a healthy version gets through all steps, and v1 may not be switched off at once', async (t) => {
  const page = await open(t);
  await setSpeed(page, 340);
  await phase(page, 'completed');
  assert.match(await page.locator('.headline').textContent(), /Completed: 100 % to v2/);
  assert.equal(await page.locator('.rail .done').count(), 5);
  await until(page, () => /Everything is sent to v2/.test(document.querySelector('.checks .ok')?.textContent ?? ''));
});

test('the same seed gives the same digest in the page and in Node, however fast it plays', async (t) => {
  const page = await open(t);
  await page.getByRole('button', { name: 'Bad minutes' }).click();
  await setSpeed(page, 300);
  await until(page, () => document.querySelector('.clock').textContent > '00:20:00');
  await page.keyboard.press('Space');
  await until(page, () => document.querySelector('.reached').textContent === 'paused');
  const there = await digest(page);
  const run = here((await scriptOf(page)).script);
  run.runTo(there.now, Infinity, 100);
  assert.equal(run.digest(), there.digest);
});

test('going to a moment twice gives one digest', async (t) => {
  const page = await open(t, { still: true });
  await setSpeed(page, 330);
  await page.keyboard.press('Space');
  await until(page, () => document.querySelector('.clock').textContent > '00:25:00');
  await page.keyboard.press('Space');
  const seek = async (ms) => {
    await page.locator('.scrub input').fill(String(ms));
    const time = new Date(ms).toISOString().slice(11, 19);
    await until(page, (time) => document.querySelector('.clock').textContent === time, time);
    return digest(page);
  };
  const first = await seek(600_000);
  await seek(1_200_000);
  assert.deepEqual(await seek(600_000), first);
  assert.equal(first.now, 600_000);
});

test('what an operator does is replayed by a link', async (t) => {
  const page = await open(t);
  await setSpeed(page, 200);
  await until(page, () => document.querySelector('.clock').textContent > '00:02:00');
  await page.getByRole('button', { name: 'Pause', exact: true }).last().click();
  await phase(page, 'paused');
  await page.getByRole('button', { name: 'Promote' }).click();
  await until(page, () => document.querySelector('.headline').textContent.startsWith('Step 2 of 5'));
  await page.getByRole('group', { name: 'Playing' }).getByRole('button', { name: 'Pause' }).click();
  await until(page, () => document.querySelector('.reached').textContent === 'paused');
  const there = await digest(page);
  const shared = await scriptOf(page);
  assert.deepEqual(shared.script.commands.map((order) => order.command), ['pause_rollout', 'promote_rollout']);
  const other = await open(t, { hash: await linkOf(shared) });
  await until(other, () => document.querySelector('.headline').textContent.startsWith('Step 2 of 5'));
  assert.deepEqual(await digest(other), there);
});

test('a fault that is added during a run is there from that moment on, in links, too', async (t) => {
  const page = await open(t);
  await setSpeed(page, 250);
  await until(page, () => document.querySelector('.clock').textContent > '00:11:00');
  await page.locator('select.add').selectOption('both_fail');
  await until(page, () => document.querySelector('.faults li'));
  await until(page, () => document.querySelector('.clock').textContent > '00:14:00');
  await page.getByRole('button', { name: 'Remove: Both fail' }).click();
  await until(page, () => document.querySelector('.faults .ended'));
  await until(page, () => document.querySelector('.clock').textContent > '00:15:00');
  await page.getByRole('group', { name: 'Playing' }).getByRole('button', { name: 'Pause' }).click();
  await until(page, () => document.querySelector('.reached').textContent === 'paused');
  const there = await digest(page);
  const { script } = await scriptOf(page);
  assert.equal(script.faults.length, 1);
  assert.ok(script.faults[0].from_ms >= 660_000 && script.faults[0].lasts_ms > 60_000, JSON.stringify(script.faults));
  const run = here(script);
  run.runTo(there.now, Infinity, 100);
  assert.equal(run.digest(), there.digest);
});
