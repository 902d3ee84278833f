// Every control of the rehearsal, used to its success, in every state of the page. The
// controls are those that the page has then: one that is not known here fails the test.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { linkOf, open, phase, until, url } from './browser.mjs';
import { Inventory } from './inventory.mjs';

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
/** Waits for another run: the link is of the one that the engine has agreed to. */
const changed = async (page, act) => {
  const before = await held(page);
  await act();
  const deadline = Date.now() + 30_000;
  while ((await held(page)) === before) assert.ok(Date.now() < deadline, 'the run is another one');
};

const MINUTE = 60_000;
const PLAN = {
  api: 'users', versions: { from: 'v1', to: 'v2' }, key: { header: 'x-user-id' },
  rollout: { steps: [{ percentage: 1, duration_minutes: 2, max_minutes: 120 }, { percentage: 50, duration_minutes: 2 }, { percentage: 100, watch_minutes: 2 }] },
  gate: { failures: { margin: 1, not_worse: { ratio: 1.5, points: 0.5 }, alpha: 0.005, beta: 0.05 }, on_inconclusive: 'advance' },
};
const RULED = {
  ...PLAN,
  pins: { c1: 'v1' },
  attributes: { plan: { header: 'x-plan' } },
  rules: [
    { name: 'beta', when: { attribute: 'plan', in: ['beta', 'internal'] }, to: 'v2' },
    { name: 'halves', when: { attribute: 'app', equals: 'ios' }, split: { v1: 50, v2: 50 } },
    { name: 'nested', when: { not: { attribute: 'app', present: true } }, to: 'v1' },
  ],
};
const TRAFFIC = { rps: 60, clients: 400, failure_percent: 1 };
const at = (ms, script = {}) => ({ script: { plan: PLAN, seed: 7, traffic: TRAFFIC, faults: [], commands: [], ...script }, at: ms });
const command = (at_ms, command) => ({ at_ms, command });

/** States that a link leads to. */
const STATES = {
  'in the first step': at(MINUTE),
  'paused by an operator': at(MINUTE + 10_000, { commands: [command(MINUTE, 'pause_rollout')] }),
  'taken back': at(20 * MINUTE, { faults: [{ kind: 'v2_errors', size: 30, from_step: 2 }] }),
  'completed': at(8 * MINUTE),
  'with faults of all kinds': at(0, {
    faults: [{ kind: 'segment_broken', segment: 'ios', size: 25, from_step: 2 }, { kind: 'v2_slow', size: 2, from_step: 2 }, { kind: 'v1_outage', size: 10, from_step: 3 }, { kind: 'bursts', size: 30, from_ms: 90_000 }, { kind: 'both_fail', size: 8, from_step: 2 }, { kind: 'metrics_lost', size: 0, from_step: 2 }, { kind: 'v2_errors', size: 3, from_step: 3 }],
  }),
  'with a fault that is there, and one that is over': at(3 * MINUTE, { faults: [{ kind: 'bursts', size: 30, from_ms: 0, lasts_ms: MINUTE }, { kind: 'segment_broken', segment: 'ios', size: 10, from_ms: MINUTE }] }),
  'with rules and pins': at(MINUTE, { plan: RULED }),
  'with many decisions': at(125 * 5_000, { commands: Array.from({ length: 120 }, (_, n) => command((n + 1) * 5_000, n % 2 ? 'resume_rollout' : 'pause_rollout')) }),
};

/** Presses what is named; `changed` waits for another run. */
const button = (control) => control.replace(/^\w+ /, '');
const locate = (page, control, role) => page.getByRole(role, { name: new RegExp(`^${button(control).replace(/[.*+?^${}()|[\]\\×]/g, '\\$&').replaceAll('#', '\\d[\\d,.]*')}$`) });
const press = (page, control) => locate(page, control, 'button').last().click();
const otherRun = (page, control) => changed(page, () => press(page, control));

/** Gives a field another value. */
const fill = (page, control) => changed(page, async () => {
  const field = await field_of(page, control);
  const now = await field.inputValue();
  if (control.startsWith('checkbox')) await field.click();
  else if (control.startsWith('text')) await field.fill(TEXTS.find(([pattern]) => pattern.test(control))[1]);
  else await field.fill(number(control, Number(now)));
  await field.press('Tab');
});
const TEXTS = [[/^text (Attribute)/, 'sdk'], [/^text found in header/, 'x-app'], [/^text Value/, 'web'], [/^text Always on/, 'c3, c4']];
const number = (control, now) => {
  if (/At most minutes/.test(control)) return '200';
  if (/Percent of step/.test(control)) return '2';
  return String(now < 2 ? now + 0.5 : /Seed|Clients/.test(control) ? now + 1 : now * 1.1).slice(0, 6);
};
async function field_of(page, control) {
  const name = button(control);
  const fields = page.locator('input:visible, select:visible, textarea:visible');
  const all = await fields.evaluateAll((all, name) => all.map((field) => {
    const label = field.getAttribute('aria-label') ?? field.labels?.[0]?.querySelector('span')?.firstChild?.textContent ?? field.labels?.[0]?.textContent;
    return (label ?? '').trim().replace(/\s+/g, ' ').replace(/\d[\d,.]*/g, '#') === name && !field.disabled;
  }), name);
  assert.ok(all.includes(true), `there is a field ${name}`);
  return fields.nth(all.indexOf(true));
}
/** Chooses another entry of a list. */
const choose = (page, control) => changed(page, async () => {
  const list = await field_of(page, control);
  const other = await list.evaluate((list) => [...list.options].find((option) => !option.selected && option.value !== '').value);
  await list.selectOption(other);
});
const openDetails = (page) => page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));

const KNOWN = [
  [/^button Start again$/, async (page, control) => {
    await press(page, control);
    await until(page, () => document.querySelector('.transport [aria-label="Pause"]'));
    await page.locator('.transport [aria-label="Pause"]').click();
  }],
  [/^button Play$/, async (page) => {
    await moved(page, () => page.locator('.transport [aria-label="Play"]').click());
    await page.keyboard.press('Space');
  }],
  [/^button One minute further$/, (page, control) => moved(page, () => press(page, control))],
  [/^range Speed$/, async (page) => {
    await page.locator('.speed input').focus();
    const before = await page.locator('.asked').textContent();
    await page.keyboard.press('ArrowRight');
    await until(page, (before) => document.querySelector('.asked').textContent !== before, before);
    await page.locator('.speed input').fill('300');
    assert.equal(await page.locator('.asked').textContent(), '1,000×');
  }],
  [/^button Copy link$/, async (page, control) => {
    await page.evaluate(() => history.replaceState(null, '', location.pathname));
    await press(page, control);
    await until(page, () => location.hash.startsWith('#s='));
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url());
  }],
  // For a while after that.
  [/^button (Copied|In the address bar)$/, held],
  [/^button Colours: \w+$/, async (page, control) => {
    const before = await page.evaluate(() => document.documentElement.dataset.theme);
    await press(page, control);
    assert.notEqual(await page.evaluate(() => document.documentElement.dataset.theme), before);
  }],
  [/^button Keys and help$/, async (page, control) => {
    await press(page, control);
    await page.locator('dialog[open]').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog[open]').waitFor({ state: 'detached' });
  }],
  [/^button Close$/, async (page) => {
    await page.locator('.notice').getByRole('button', { name: 'Close' }).click();
    await page.locator('.notice').waitFor({ state: 'hidden' });
  }],
  [/^dialog: button Close$/, async (page) => {
    await page.locator('dialog').getByRole('button', { name: 'Close' }).click();
    await page.locator('dialog[open]').waitFor({ state: 'detached' });
  }],
  [/^button Pause$/, async (page) => {
    const playing = page.locator('.transport [aria-label="Pause"]');
    if (await playing.count()) {
      await playing.click();
      return until(page, () => document.querySelector('.reached').textContent === 'paused');
    }
    await page.locator('.operator').getByRole('button', { name: 'Pause' }).click();
    await phase(page, 'paused');
  }],
  [/^button Resume$/, async (page, control) => {
    await otherRun(page, control);
    await until(page, () => document.querySelector('.bar').dataset.phase !== 'paused');
  }],
  [/^button Promote$/, async (page, control) => {
    await otherRun(page, control);
    await until(page, () => /^Step 2 of/.test(document.querySelector('.headline').textContent));
  }],
  [/^button Abort$/, async (page, control) => {
    await otherRun(page, control);
    await phase(page, 'aborted');
  }],
  [/^button Retry$/, async (page, control) => {
    await otherRun(page, control);
    await until(page, () => ['progressing', 'held'].includes(document.querySelector('.bar').dataset.phase));
  }],
  [/^button Undo$/, async (page, control) => {
    await otherRun(page, control);
    await phase(page, 'undone');
  }],
  [/^region # clients by bucket/, async (page) => {
    await page.locator('.squares').focus();
    await page.keyboard.press('End');
    await until(page, () => /bucket 9,/.test(document.querySelector('#client-detail').textContent));
  }],
  [/^chart$/, (page) => moved(page, async () => {
    const box = await page.locator('.u-over').first().boundingBox();
    await page.locator('.u-over').first().click({ position: { x: box.width / 4, y: 10 } });
  })],
  [/^range Moment$/, (page) => moved(page, () => page.locator('.scrub input').fill('30000'))],
  [/^region Decisions, oldest first$/, async (page) => {
    await page.getByRole('region', { name: 'Decisions, oldest first' }).focus();
    assert.equal(await page.evaluate(() => document.activeElement.className), 'scroll');
  }],
  [/^entry$/, async (page) => {
    const entry = page.locator('.log button').first();
    await entry.focus();
    await moved(page, () => page.keyboard.press('Enter'));
  }],
  [/^button Show older \(#\)$/, async (page, control) => {
    const before = await page.locator('.log li').count();
    await press(page, control);
    await until(page, (before) => document.querySelectorAll('.log li').length > before, before);
  }],
  [/^button (Healthy v#|v# fails ×#|v# slow ×#|v# outage|Both fail|Only iOS broken|Bad minutes|Metrics lost)$/, async (page, control) => {
    await press(page, control);
    await until(page, (name) => [...document.querySelectorAll('.preset[aria-pressed="true"]')].some((preset) => preset.textContent.replace(/\d[\d,.]*/g, '#') === name), button(control));
  }],
  [/^select Add a fault$/, async (page) => {
    const kinds = await page.locator('select.add option').count();
    for (let kind = 1; kind < kinds; kind += 1) await changed(page, () => page.locator('select.add').selectOption({ index: kind }));
  }],
  [/^number .*: how much, in (times|percent)$/, fill],
  [/^select Segment$/, choose],
  [/^button Remove: /, otherRun],
  [/^button Remove (step #|rule [\w-]+(#)?)$/, otherRun],
  [/^number (Percent|Minutes|Minutes watched|At most minutes) of step #$/, fill],
  [/^button Add a (step|rule)$/, otherRun],
  [/^number (Worse above|Tolerated|False alarms)$/, fill],
  [/^select Without proof$/, choose],
  [/^checkbox /, fill],
  [/^text Always on v#$/, fill],
  [/^text (Attribute|found in header|Value) of rule /, fill],
  [/^select (Test|Whoever matches) of rule /, choose],
  [/^number of them on v# % of rule /, fill],
  [/^summary /, async (page, control) => {
    const summary = page.locator('summary').filter({ hasText: button(control) });
    const before = await summary.evaluate((summary) => summary.parentElement.open);
    await summary.focus();
    await page.keyboard.press('Enter');
    await until(page, ([text, before]) => [...document.querySelectorAll('summary')].find((summary) => summary.textContent === text).parentElement.open !== before, [button(control), before]);
  }],
  [/^textarea The plan document as JSON$/, async (page) => {
    const json = page.getByLabel('The plan document as JSON');
    await json.fill((await json.inputValue()).replace('"api": "users"', '"api": "orders"'));
    await changed(page, () => page.getByRole('button', { name: 'Use this plan' }).click());
  }],
  [/^button Use this plan$/, async (page, control) => {
    await page.getByLabel('The plan document as JSON').fill('{');
    await press(page, control);
    await until(page, () => /is not JSON/.test(document.querySelector('#plan .problems').textContent));
  }],
  [/^number (Requests a second|Clients|Fail today|Median latency|Swing of the day|Seed|Whales|Bursty|Nightly jobs|Monthly jobs|Sleepers|New arrivals)$/, fill],
  [/^button Play it # times$/, async (page, control) => {
    await press(page, control);
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
  }],
  [/^button Stop$/, async (page, control) => {
    await press(page, control);
    await page.getByRole('button', { name: 'Play it 500 times' }).waitFor();
  }],
  [/^button Watch /, otherRun],
  [/^button Load it again$/, async (page, control) => {
    await page.unroute('**/*.wasm');
    await press(page, control);
    await page.locator('#health canvas').first().waitFor();
    await moved(page, () => page.keyboard.press('.'));
  }],
];

test('every control does what it is for, in every state, and none is unknown', async (t) => {
  const inventory = new Inventory(KNOWN);
  const page = await open(t, { still: true });
  let turn = 0;
  /** The page with the run of a link, at its moment. */
  const go = async (shared) => {
    await page.evaluate(() => document.activeElement?.blur());
    await page.evaluate((run) => { document.documentElement.dataset.turn = run; }, String(turn += 1));
    // A seed of its own, so that it is another run than the one before.
    const next = structuredClone(shared);
    next.script.seed += turn;
    await page.evaluate((hash) => { location.hash = hash; }, await linkOf(next));
    await until(page, (seed) => document.querySelector('#traffic input[aria-label="Seed"], #traffic .field:nth-child(6) input')?.value === seed, String(next.script.seed));
    await until(page, (time) => document.querySelector('.clock').textContent === time, new Date(shared.at).toISOString().slice(11, 19));
    await openDetails(page);
    return page;
  };
  await inventory.state('at the beginning, details closed', async () => {
    await go(at(0));
    await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = false; }));
    return page;
  });
  for (const [name, shared] of Object.entries(STATES)) await inventory.state(name, () => go(shared));
  await inventory.state('playing', async () => {
    await go(at(MINUTE));
    await page.locator('.speed input').fill('0');
    await page.locator('.transport [aria-label="Play"]').click();
    await page.locator('.transport [aria-label="Pause"]').waitFor();
    return page;
  });
  await page.keyboard.press('Space');
  await inventory.state('with the help open', async () => {
    await page.keyboard.press('?');
    await page.locator('dialog[open]').waitFor();
    return page;
  });
  await inventory.state('with a notice', async () => {
    await go(at(MINUTE));
    await page.getByLabel('Percent of step 1').fill('99');
    await page.getByLabel('Percent of step 1').press('Tab');
    await page.locator('.notice').waitFor();
    return page;
  });
  await inventory.state('while the plan is played many times', async () => {
    await go(at(MINUTE));
    await page.getByRole('button', { name: 'Play it 500 times' }).click();
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
    return page;
  });
  // So strict that healthy versions are taken back, and so lax that worse ones get through.
  const short = { plan: { ...PLAN, rollout: { steps: [{ percentage: 50, duration_minutes: 2 }] }, gate: { ...PLAN.gate, failures: { ...PLAN.gate.failures, alpha: 0.5, beta: 0.5 } } }, traffic: { rps: 20, clients: 200, failure_percent: 3, median_ms: 0 }, faults: [{ kind: 'v2_errors', size: 2, from_step: 1 }] };
  await inventory.state('with what is to be expected', async () => {
    await go(at(MINUTE, short));
    await page.getByRole('button', { name: 'Play it 500 times' }).click();
    await until(page, () => document.querySelectorAll('#behave .links button').length === 3);
    const stop = page.getByRole('button', { name: 'Stop', exact: true });
    if (await stop.count()) await stop.click({ timeout: 1_000 }).catch(() => undefined);
    return page;
  });
  await page.setViewportSize({ width: 390, height: 844 });
  await inventory.state('on a phone', () => go(at(MINUTE)));
  const context = page.context();
  await inventory.state('without its engine', async () => {
    const broken = await context.newPage();
    t.after(() => broken.close().catch(() => undefined));
    await broken.route('**/*.wasm', (route) => route.fulfill({ status: 200, contentType: 'application/wasm', body: 'no' }));
    await broken.goto(await url());
    await broken.getByRole('button', { name: 'Load it again' }).waitFor();
    return broken;
  });
  inventory.complete();
  for (const control of inventory.used) t.diagnostic(`used: ${control}`);
});
