// Every control of the live page, used to its success on a real server, in every state.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { axe, until } from './browser.mjs';
import { Inventory } from './inventory.mjs';
import { live, Server, shows, useToken, visit } from './server.mjs';

const dialog = (page) => page.locator('dialog');
const gone = (page) => dialog(page).waitFor({ state: 'detached' });
const state = async (server) => (await server.get('/v1/status')).rollout;

/** What an operator can say, the phases that follow, and whether the dialog has a box. */
const COMMANDS = {
  Start: ['progressing'], Pause: ['paused'], Resume: ['progressing', 'held'], Promote: ['progressing', 'held', 'completed', 'watching'],
  Abort: ['aborted'], Retry: ['progressing'], Undo: ['undone'],
};

/** Says a command with its reason, and waits for what the server makes of it. */
async function say(page, server, label, box = false) {
  await page.locator('.operator').getByRole('button', { name: label, exact: true }).click();
  await dialog(page).waitFor();
  await page.getByLabel('Reason').fill(`because of ${label}`);
  if (box) await page.getByLabel('All the way').check();
  await dialog(page).locator('.wide-button').click();
  await gone(page);
  await shows(page, '#decisions', `because of ${label}`);
  const { phase } = await state(server);
  assert.ok(COMMANDS[label].includes(phase), `${label}: ${phase}`);
  // The page hears of it within a second.
  const offers = { paused: 'Resume', aborted: 'Retry', undone: 'Retry', completed: 'Undo' };
  await page.locator('.operator').getByRole('button', { name: offers[phase] ?? 'Pause', exact: true }).waitFor();
}

test('every control of a live page does what it is for, and none is unknown', async (t) => {
  const server = new Server(t, false, { more: ['--no-start'] });
  await server.start();
  const page = await visit(server, { expected: /status of (401|409)/ });
  const ask = async (label) => {
    if (!(await dialog(page).count())) await page.locator('.operator').getByRole('button', { name: label, exact: true }).click();
    await dialog(page).waitFor();
  };
  const inventory = new Inventory([
    [/^button Enter token$/, async () => {
      await page.getByRole('button', { name: 'Enter token' }).click();
      await dialog(page).waitFor();
      await page.keyboard.press('Escape');
      await gone(page);
    }],
    [/^button Forget token$/, async () => {
      await page.getByRole('button', { name: 'Forget token' }).click();
      await page.getByRole('button', { name: 'Enter token' }).waitFor();
      await live(page);
      assert.equal(await page.evaluate(() => sessionStorage.getItem('token')), null);
      await useToken(page, server.token);
      await gone(page);
      await page.locator('.operator').waitFor();
    }],
    [/^a Rehearse$/, async () => {
      await page.getByRole('link', { name: 'Rehearse' }).click();
      await page.locator('.preset').first().waitFor();
      await page.goto(server.url);
      await live(page);
    }],
    [/^button Colours: \w+$/, async () => {
      const before = await page.evaluate(() => document.documentElement.dataset.theme);
      await page.getByRole('button', { name: /^Colours/ }).click();
      assert.notEqual(await page.evaluate(() => document.documentElement.dataset.theme), before);
    }],
    [/^chart$/, async () => {
      // Pointing at a moment shows its numbers.
      await page.locator('.u-over').first().hover();
      await until(page, () => [...document.querySelectorAll('.u-cursor-x')].some((line) => line.checkVisibility() && line.style.transform !== ''));
    }],
    [/^region Decisions, oldest first$/, async (_, control) => {
      const region = page.getByRole('region', { name: control.replace('region ', '') });
      await region.focus();
      assert.ok(await region.evaluate((region) => region === document.activeElement));
    }],
    [/^dialog: password Token$/, async () => {
      await page.locator('#ask-line').fill('not-the-right-token');
      await page.locator('#ask-line').press('Enter');
      await until(page, () => /needs a token/.test(document.querySelector('dialog [role=alert]').textContent));
    }],
    [/^dialog: button Use it$/, async () => {
      await page.locator('#ask-line').fill(server.token);
      await page.getByRole('button', { name: 'Use it' }).click();
      await gone(page);
      await page.locator('.operator').waitFor();
    }],
    [/^dialog: button Cancel$/, async () => {
      await page.getByRole('button', { name: 'Cancel' }).click();
      await gone(page);
    }],
    [/^dialog: text Reason$/, async () => {
      await page.getByLabel('Reason').press('Enter');
      assert.match(await page.locator('dialog [role=alert]').textContent(), /Say why/);
    }],
    [/^dialog: checkbox All the way/, async () => {
      await page.getByLabel('All the way').focus();
      await page.keyboard.press('Space');
      assert.ok(await page.getByLabel('All the way').isChecked());
    }],
    // Each is pressed from its own state, with a reason: what it is for happens.
    [/^(dialog: )?button (Start|Pause|Resume|Promote|Abort|Retry|Undo)$/, async (_, control) => {
      const label = control.replace(/.*button /, '');
      if (await dialog(page).count()) {
        await page.keyboard.press('Escape');
        await gone(page);
      }
      await say(page, server, label, label === 'Promote');
      // Both were pressed, that of the page and that of the dialog.
      for (const where of ['', 'dialog: ']) inventory.used.add(`${where}button ${label}`);
    }],
  ]);
  await live(page);
  await inventory.state('read only', async () => page);
  await inventory.state('asked for a token', async () => {
    if (await page.evaluate(() => sessionStorage.getItem('token'))) {
      await page.getByRole('button', { name: 'Forget token' }).click();
      await page.getByRole('button', { name: 'Enter token' }).waitFor();
      await live(page);
    }
    if (!(await dialog(page).count())) await page.getByRole('button', { name: 'Enter token' }).click();
    await dialog(page).waitFor();
    return page;
  });
  if (await dialog(page).count()) {
    await useToken(page, server.token);
    await gone(page);
  }
  /** Brings the rollout into a phase, from whichever it is in. */
  const ways = {
    progressing: { idle: ['Start'], paused: ['Resume'], aborted: ['Retry'], undone: ['Retry'], completed: ['Undo', 'Retry'], progressing: [] },
  };
  const inPhase = async (name, ...then) => {
    await live(page);
    await page.locator('.operator').waitFor();
    const { phase } = await state(server);
    for (const label of [...(ways[name][phase] ?? []), ...then]) await say(page, server, label, label === 'Promote');
    return page;
  };
  await shows(page, '.headline', 'No rollout has begun.');
  assert.deepEqual(await axe(page), []);
  await inventory.state('no rollout', async () => page);
  await inventory.state('running', () => inPhase('progressing'));
  // What the dialog has that was not used yet is used in it.
  await inventory.state('running, a reason is asked for', async () => {
    await inPhase('progressing');
    await ask('Promote');
    return page;
  });
  if (await dialog(page).count()) await page.keyboard.press('Escape');
  await inventory.state('paused', () => inPhase('progressing', 'Pause'));
  await inventory.state('aborted', () => inPhase('progressing', 'Abort'));
  await inventory.state('completed', () => inPhase('progressing', 'Promote'));
  await inventory.state('undone', () => inPhase('progressing', 'Promote', 'Undo'));
  inventory.complete();
  for (const control of inventory.used) t.diagnostic(`used: ${control}`);
});
