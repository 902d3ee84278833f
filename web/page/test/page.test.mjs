// What the page is to whoever uses it: keys, links, problems, colours, sizes, motion.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { axe, clipped, digest, here, linkOf, open, overlapping, phase, scriptOf, setSpeed, shot, until, url } from './browser.mjs';

const SIZES = [[1440, 900], [1024, 800], [390, 844]];

const at = (page, time) => until(page, (time) => document.querySelector('.clock').textContent >= time, time);
const paused = (page) => until(page, () => document.querySelector('.reached').textContent === 'paused');

for (const dark of [false, true]) {
  for (const [width, height] of SIZES) {
    test(`at ${width} px, ${dark ? 'dark' : 'light'}: accessible, nothing cut off, nothing covered`, async (t) => {
      const page = await open(t, { width, height, dark, still: true });
      await page.getByRole('button', { name: 'Only iOS broken' }).click();
      await setSpeed(page, 300);
      await phase(page, 'rolled_back');
      await paused(page);
      assert.deepEqual(await axe(page), []);
      assert.deepEqual(await page.evaluate(clipped), []);
      assert.deepEqual(await page.evaluate(overlapping), []);
      await shot(page, `${width}-${dark ? 'dark' : 'light'}`);
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => { details.open = true; }));
      assert.deepEqual(await page.evaluate(clipped), []);
      assert.deepEqual(await axe(page), []);
    });
  }
}

test('everything can be done with the keyboard', async (t) => {
  const page = await open(t, { still: true });
  assert.equal(await page.locator('.reached').textContent(), 'paused');
  await page.keyboard.press('.');
  await at(page, '00:01:00');
  await page.keyboard.press('.');
  await at(page, '00:02:00');
  await page.keyboard.press('Space');
  await setSpeed(page, 300);
  await page.locator('body').click({ position: { x: 2, y: 400 } });
  await at(page, '00:12:00');
  await page.keyboard.press('Space');
  await paused(page);
  await page.keyboard.press(',');
  await until(page, () => document.querySelector('.clock').textContent === '00:10:00');
  await page.keyboard.press(',');
  await until(page, () => document.querySelector('.clock').textContent === '00:00:00');
  await page.keyboard.press(';');
  await until(page, () => document.querySelector('.clock').textContent === '00:10:00');
  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
  assert.deepEqual(await axe(page), []);
  await page.keyboard.press('Escape');
  await page.locator('.squares').focus();
  await page.keyboard.press('End');
  await until(page, () => /bucket 9,/.test(document.querySelector('#client-detail').textContent));
  await page.keyboard.press('Home');
  await until(page, () => /bucket \d+ /.test(document.querySelector('#client-detail').textContent));
  await page.locator('.log button').first().focus();
  await page.keyboard.press('Enter');
  await until(page, () => document.querySelector('.clock').textContent === '00:00:00');
});

test('with reduced motion nothing moves until it is asked to', async (t) => {
  const page = await open(t, { still: true });
  await page.waitForTimeout(700);
  assert.equal(await page.locator('.clock').textContent(), '00:00:00');
  const moving = await page.evaluate(() => document.getAnimations().length);
  assert.equal(moving, 0);
});

test('a link holds the whole run and its moment', async (t) => {
  const page = await open(t, { still: true });
  await page.getByLabel('Seed').fill('4711');
  await page.getByLabel('Seed').press('Tab');
  await page.getByLabel('Requests a second').fill('90');
  await page.getByLabel('Requests a second').press('Tab');
  await until(page, () => document.querySelector('#requests .note').textContent.startsWith('90 '));
  // A change does not take the focus away.
  assert.equal(await page.evaluate(() => document.activeElement.closest('label').textContent.trim()), 'Clients');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('.');
  await page.keyboard.press('.');
  await at(page, '00:02:00');
  const shared = await scriptOf(page);
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), page.url());
  assert.deepEqual([shared.script.seed, shared.script.traffic.rps, shared.at], [4711, 90, 120_000]);
  const other = await open(t, { hash: new URL(page.url()).hash });
  await until(other, () => document.querySelector('.clock').textContent === '00:02:00');
  assert.equal(await other.getByLabel('Seed').inputValue(), '4711');
  assert.deepEqual(await scriptOf(other), shared);
});

test('a link that cannot be read is said, and the usual run shown', async (t) => {
  for (const hash of ['#s=AAAA', '#s=%%%']) {
    const page = await open(t, { hash });
    assert.match(await page.locator('.notice').textContent(), /This link cannot be read/);
    await until(page, () => document.querySelector('.headline').textContent.startsWith('Step 1 of 5'));
  }
});

test('a link with a plan that is wrong names every problem', async (t) => {
  const plan = { api: 'a', versions: { from: 'v1', to: 'v2' }, key: { header: 'x' }, rollout: { steps: [{ percentage: 120, duration_minutes: 1 }] } };
  const page = await open(t, { hash: await linkOf({ script: { plan, traffic: { rps: 0 } } }) }).catch((error) => error);
  assert.ok(!(page instanceof Error), String(page));
  await until(page, () => /rollout.steps\[0\].percentage: 120 is not a percentage/.test(document.querySelector('.notice').textContent));
  assert.match(await page.locator('.notice').textContent(), /traffic.rps: 0 is not a number/);
});

test('a wrong number is named, and the run before goes on', async (t) => {
  const page = await open(t);
  await at(page, '00:00:30');
  const field = page.getByLabel('Percent of step 1');
  await field.fill('50');
  await field.press('Tab');
  await until(page, () => /rollout.steps\[1\].*10 % comes after 50 %/.test(document.querySelector('#plan .problems').textContent));
  assert.match(await page.locator('.notice').textContent(), /The run before goes on/);
  const before = await page.locator('.clock').textContent();
  await until(page, (before) => document.querySelector('.clock').textContent > before, before);
  await page.locator('#plan summary').click();
  await page.getByLabel('The plan document as JSON').fill('{');
  await page.getByRole('button', { name: 'Use this plan' }).click();
  await until(page, () => /is not JSON/.test(document.querySelector('#plan .problems').textContent));
});

test('a plan of one\'s own is played', async (t) => {
  const page = await open(t, { still: true });
  await page.getByLabel('Remove step 1').click();
  await until(page, () => document.querySelectorAll('.rail li').length === 4);
  await page.getByRole('button', { name: 'Add a step' }).click();
  await until(page, () => document.querySelectorAll('.rail li').length === 5);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('.');
  await at(page, '00:01:00');
  assert.equal((await scriptOf(page)).script.plan.rollout.steps.length, 5);
});

test('rules that are edited are the plan\'s, and the engine goes by them', async (t) => {
  const page = await open(t, { still: true });
  const plan = async () => (await scriptOf(page)).script.plan;
  const taken = async (holds) => {
    const deadline = Date.now() + 30_000;
    while (!holds(await plan())) assert.ok(Date.now() < deadline, `${holds} does not hold of ${JSON.stringify(await plan())}`);
  };
  const set = async (label, value) => {
    await page.getByLabel(label, { exact: true }).fill(value);
    await page.getByLabel(label, { exact: true }).press('Tab');
  };
  await set('Always on v2', 'c1, c2');
  await taken(({ pins }) => pins?.c1 === 'v2' && pins.c2 === 'v2');
  await set('Always on v1', 'c2');
  await taken(({ pins }) => pins.c1 === 'v2' && pins.c2 === 'v1');
  await page.getByRole('button', { name: 'Add a rule' }).click();
  await taken(({ rules }) => rules?.length === 1);
  await page.getByLabel('Test of rule rule-1').selectOption('in');
  await taken(({ rules }) => Array.isArray(rules[0].when.in));
  await set('Value of rule rule-1', 'android, partner');
  await taken(({ rules }) => rules[0].when.in.join() === 'android,partner');
  await set('found in header of rule rule-1', 'x-app');
  await taken(({ attributes }) => attributes?.app?.header === 'x-app');
  await page.getByLabel('Whoever matches of rule rule-1').selectOption('split');
  await taken(({ rules }) => rules[0].split?.v2 === 50 && rules[0].to === undefined);
  await set('of them on v2 % of rule rule-1', '100');
  await taken(({ rules }) => rules[0].split.v2 === 100);
  // A second one, by version: no client here says which it has, so it matches nobody.
  await page.getByRole('button', { name: 'Add a rule' }).click();
  await taken(({ rules }) => rules.length === 2 && rules[1].name === 'rule-2');
  await set('Attribute of rule rule-2', 'sdk');
  await taken(({ rules }) => rules[1].when.attribute === 'sdk');
  await page.getByLabel('Test of rule rule-2').selectOption('semver');
  await taken(({ rules }) => rules[1].when.semver === '>=2');
  // What is wrong is named where it was typed, and the run before goes on.
  await set('Value of rule rule-2', 'two');
  await until(page, () => /rules\[1\]/.test(document.querySelector('#plan .problems').textContent));
  await set('Value of rule rule-2', '>=2.4');
  await taken(({ rules }) => rules[1].when.semver === '>=2.4');
  await page.evaluate(() => document.activeElement.blur());
  for (let minute = 1; minute <= 3; minute += 1) {
    await page.keyboard.press('.');
    await at(page, `00:0${minute}:00`);
  }
  // Whoever the rule names is on v2, and nearly nobody else in a step of 1 %.
  const { script } = await scriptOf(page);
  const run = here(script);
  run.runTo(180_000, Infinity, 1);
  const counts = { named: [0, 0, 0], others: [0, 0, 0] };
  const pinned = {};
  for (let place = 0; place < script.traffic.clients; place += 1) {
    const { key, app, version } = run.client(place);
    if (key === 'c1' || key === 'c2') pinned[key] = version;
    else counts[['android', 'partner'].includes(app) ? 'named' : 'others'][version ?? 2] += 1;
  }
  assert.ok(counts.named[0] === 0 && counts.named[1] > 300, JSON.stringify(counts));
  assert.ok(counts.others[1] < counts.others[0] / 20, JSON.stringify(counts));
  assert.ok([1, null].includes(pinned.c1) && [0, null].includes(pinned.c2), JSON.stringify(pinned));
  assert.equal((await digest(page)).digest, run.digest());
  await page.getByRole('button', { name: 'Remove rule rule-1' }).click();
  await taken(({ rules }) => rules.length === 1 && rules[0].name === 'rule-2');
  await page.getByRole('button', { name: 'Remove rule rule-2' }).click();
  await taken(({ rules }) => rules === undefined);
});

test('the plan is played many times, and what to expect is told', async (t) => {
  const plan = { api: 'a', versions: { from: 'v1', to: 'v2' }, key: { header: 'x' }, rollout: { steps: [{ percentage: 50, duration_minutes: 2 }] } };
  const script = { plan, seed: 1, traffic: { rps: 50, clients: 400, failure_percent: 2, median_ms: 0 }, faults: [{ kind: 'v2_errors', size: 4, from_step: 1 }] };
  const page = await open(t, { hash: await linkOf({ script, at: 0 }) });
  await page.getByRole('button', { name: 'Play it 500 times' }).click();
  await until(page, () => document.querySelector('#behave .findings')?.textContent.includes('250 healthy and 250 worse runs'));
  await page.getByRole('button', { name: 'Play it 500 times' }).waitFor();
  const sentence = await page.locator('#behave .sentence').textContent();
  assert.match(sentence, /^Rolls back a healthy v2 in \d[\d.]* % of runs; finds the fault of this scenario in \d[\d.]* %, after \d+ (s|min) \(median\), with \d+ clients? affected\.$/);
  assert.deepEqual(await axe(page), []);
  // A run of the many can be watched: it is this seed.
  await page.getByRole('button', { name: 'Watch the slowest find' }).click();
  await phase(page, 'rolled_back');
});

test('the colours can be chosen, and are kept', async (t) => {
  const page = await open(t, { still: true });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await background();
  await page.getByRole('button', { name: /^Colours/ }).click();
  await page.getByRole('button', { name: /^Colours/ }).click();
  assert.notEqual(await background(), before);
  await page.reload();
  await page.locator('.preset').first().waitFor();
  assert.notEqual(await background(), before);
});

test('an engine that cannot be loaded is said', async (t) => {
  const page = await open(t, { still: true });
  const context = page.context();
  const other = await context.newPage();
  await other.route('**/*.wasm', (route) => route.fulfill({ status: 200, contentType: 'application/wasm', body: 'no' }));
  await other.goto(await url());
  await other.locator('.notice').waitFor();
  assert.match(await other.locator('.notice').textContent(), /The engine could not be loaded/);
  assert.equal(await other.getByRole('button', { name: 'Load it again' }).count(), 1);
});

test('thirty simulated days leave the memory as it was', async (t) => {
  const script = { plan: { api: 'a', versions: ['v1', 'v2'], key: { header: 'x' }, rollout: { steps: [{ percentage: 10, duration_minutes: 10_000 }, { percentage: 100, duration_minutes: 60_000 }] } }, seed: 3, traffic: { rps: 0.2, clients: 300, median_ms: 0 } };
  const page = await open(t, { still: true, hash: await linkOf({ script, at: 0 }) });
  const cdp = await page.context().newCDPSession(page);
  const heap = async () => {
    await cdp.send('HeapProfiler.collectGarbage');
    return (await cdp.send('Runtime.getHeapUsage')).usedSize;
  };
  await setSpeed(page, 400);
  const day = 86_400_000;
  await page.locator('.scrub input').evaluate((input, to) => { input.max = String(to); }, 31 * day);
  const go = async (days) => {
    await page.locator('.scrub input').evaluate((input, to) => { input.max = String(31 * 86_400_000); input.value = String(to); input.dispatchEvent(new Event('input')); }, days * day);
    await until(page, (days) => document.querySelector('.clock').textContent.startsWith(`${days} d`), days);
  };
  await go(10);
  const before = await heap();
  await go(20);
  await go(30);
  const after = await heap();
  assert.ok(after < before * 1.3 + 2e6, `${before} bytes after ten days, ${after} after thirty`);
});

test('what is sent is compressed, and says so', async () => {
  const ask = (path, accepted) => fetch(new URL(path, address), { headers: { 'accept-encoding': accepted } });
  const address = await url();
  const html = await (await ask('/', 'br')).text();
  for (const path of ['/', ...[...html.matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)].map(([, path]) => path)]) {
    const small = await ask(path, 'gzip, br');
    const plain = await ask(path, 'identity');
    assert.deepEqual([small.headers.get('content-encoding'), plain.headers.get('content-encoding')], ['br', null], path);
    assert.deepEqual([small.headers.get('vary'), plain.headers.get('vary')], ['accept-encoding', 'accept-encoding'], path);
    assert.notEqual(small.headers.get('etag'), plain.headers.get('etag'), path);
    assert.equal(await small.text(), await plain.text(), path);
  }
});
