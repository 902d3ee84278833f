// Every control of the rehearsal, used to its effect. The controls are those that the page
// has: one that is new and not known here fails the test.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { open, until } from './browser.mjs';

const clock = (page) => page.locator('.clock').textContent();
const moved = async (page, act) => {
  const before = await clock(page);
  await act();
  await until(page, (before) => document.querySelector('.clock').textContent !== before, before);
};
/** What a link holds. Its button says for a while that it was copied, and works all the same. */
const held = async (page) => {
  await page.evaluate(() => {
    history.replaceState(null, '', location.pathname);
    document.querySelector('.tools button').click();
  });
  await until(page, () => location.hash.startsWith('#s='));
  return page.evaluate(() => location.hash);
};
const changed = async (page, act) => {
  const before = await held(page);
  await act();
  // The link is of the run that the engine has agreed to.
  const deadline = Date.now() + 30_000;
  while ((await held(page)) === before) assert.ok(Date.now() < deadline, 'the run is another one');
};

/** What the buttons do, by name. */
const BUTTONS = {
  'Start again': async (page, button) => {
    await page.keyboard.press('.');
    await until(page, () => document.querySelector('.clock').textContent !== '00:00:00');
    await button.click();
    await until(page, () => document.querySelector('[aria-label="Pause"]'));
    await page.getByRole('button', { name: 'Pause' }).first().click();
  },
  'Play': async (page, button) => {
    await moved(page, () => button.click());
    await page.keyboard.press('Space');
  },
  'One minute further': (page, button) => moved(page, () => button.click()),
  'Copy link': async (page, button) => {
    await button.click();
    await until(page, () => location.hash.startsWith('#s='));
  },
  'Colours: Auto': async (page, button) => {
    await button.click();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
  },
  'Keys and help': async (page, button) => {
    await button.click();
    await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
  },
  'Pause': (page, button) => changed(page, () => button.click()),
  'Resume': (page, button) => changed(page, () => button.click()),
  'Promote': (page, button) => changed(page, () => button.click()),
  'Abort': (page, button) => changed(page, () => button.click()),
  'Add a step': (page, button) => changed(page, () => button.click()),
  'Remove step 1': (page, button) => changed(page, () => button.click()),
  'Use this plan': async (page) => {
    await page.locator('#plan details').evaluate((details) => { details.open = true; });
    const json = page.getByLabel('The plan document as JSON');
    await json.fill((await json.inputValue()).replace('"api": "users"', '"api": "orders"'));
    await changed(page, () => page.getByRole('button', { name: 'Use this plan' }).click());
  },
  'Play it 500 times': async (page, button) => {
    await button.click();
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await button.waitFor();
  },
};
/** The others of a kind do the same. */
const LIKE = [[/^Remove step \d+$/, 'Remove step 1'], [/^(\S+ )?entry$/, 'entry']];

test('every button does something, and none is unknown', async (t) => {
  const page = await open(t, { still: true });
  await page.keyboard.press('.');
  await until(page, () => document.querySelector('.clock').textContent !== '00:00:00');
  const names = await page.locator('button:visible').evaluateAll((buttons) => buttons.filter((button) => !button.closest('.presets, .log, dialog')).map((button) => button.getAttribute('aria-label') ?? button.textContent.trim()));
  const known = (name) => BUTTONS[name] ?? BUTTONS[LIKE.find(([pattern]) => pattern.test(name))?.[1]];
  assert.deepEqual(names.filter((name) => !known(name)), []);
  const used = new Set();
  for (const name of ['One minute further', ...names]) {
    if (used.has(known(name))) continue;
    used.add(known(name));
    const again = await open(t, { still: true });
    await again.keyboard.press('.');
    await until(again, () => document.querySelector('.clock').textContent !== '00:00:00');
    await known(name)(again, again.getByRole('button', { name, exact: true }).first()).catch((error) => { throw new Error(`${name}: ${error.message}`); });
  }
});

test('every scenario is chosen by its button', async (t) => {
  const page = await open(t, { still: true });
  const presets = page.locator('.preset');
  for (let at = await presets.count() - 1; at >= 0; at -= 1) {
    await presets.nth(at).click();
    await until(page, (at) => document.querySelectorAll('.preset')[at].getAttribute('aria-pressed') === 'true', at);
  }
});

test('every field, list and box of the scenario changes the run', async (t) => {
  const page = await open(t, { still: true });
  await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
  const fields = page.locator('#plan input, #plan select, #traffic input, #traffic select');
  const count = await fields.count();
  assert.ok(count >= 20, `${count} fields`);
  for (let at = 0; at < count; at += 1) {
    const field = fields.nth(at);
    const kind = await field.evaluate((field) => field.type);
    const name = await field.evaluate((field) => field.getAttribute('aria-label') ?? field.closest('label').textContent);
    t.diagnostic(name);
    // The last step's share has nowhere to go.
    if (name === 'Percent of step 5') continue;
    await changed(page, async () => {
      if (kind === 'checkbox') return field.click();
      if (kind === 'select-one') return field.selectOption({ index: 1 });
      const now = Number(await field.inputValue());
      await field.fill(String(/At most/.test(name) ? 200 : /Percent of step 1/.test(name) ? 2 : now < 2 ? now + 0.5 : /Seed|Clients/.test(name) ? now + 1 : now * 1.1).slice(0, 6));
      return field.press('Tab');
    }).catch((error) => { throw new Error(`${name}: ${error.message}`); });
  }
  const faults = page.locator('#scenario select').last();
  const kinds = await faults.locator('option').count();
  for (let kind = 1; kind < kinds; kind += 1) await changed(page, () => page.locator('#scenario select').last().selectOption({ index: kind }));
});

test('the slider of speed and that of the moment do what they say', async (t) => {
  const page = await open(t, { still: true });
  await page.locator('.speed input').fill('300');
  assert.equal(await page.locator('.asked').textContent(), '1,000×');
  for (let n = 0; n < 3; n += 1) await moved(page, () => page.keyboard.press('.'));
  await page.locator('.scrub input').fill('60000');
  await until(page, () => document.querySelector('.clock').textContent === '00:01:00');
});
