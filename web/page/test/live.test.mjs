// The page on a real `crossfade serve`: what it shows is what the server says, what it is
// told to do is done, and a server that is gone is said.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { axe, clipped, overlapping, PATIENCE_MS, shot, until } from './browser.mjs';
import { live, OPERATOR, PLAN, READER, Server, shows, useToken, visit } from './server.mjs';

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

test('a command whose answers get lost is done once, and one that nobody knows of can be asked again', async (t) => {
  const server = await new Server(t).start();
  const page = await visit(server, { expected: /ERR_/ });
  await live(page);
  await useToken(page, server.token);
  let swallowed = 0;
  let most = 2;
  await page.route('**/v1/rollout/promote', async (route) => {
    if (swallowed >= most) return route.continue();
    swallowed += 1;
    await route.fetch();
    await route.abort();
  });
  const promoted = async () => (await server.get('/v1/audit')).audit.filter(({ what }) => what === 'promote').length;
  await page.getByRole('button', { name: 'Promote' }).click();
  await page.getByLabel('Reason').fill('seen enough');
  await page.getByLabel('Reason').press('Enter');
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.deepEqual([swallowed, await promoted(), (await server.get('/v1/rollout')).step], [2, 1, 2]);

  // For longer than it tries: the same is asked again, or nothing.
  most = Infinity;
  await page.getByRole('button', { name: 'Promote' }).click();
  await page.getByLabel('Reason').fill('once more');
  await page.getByLabel('Reason').press('Enter');
  await until(page, () => /is not known. Ask again/.test(document.querySelector('dialog [role=alert]').textContent));
  assert.equal(await page.getByLabel('Reason').getAttribute('readonly'), '');
  most = 0;
  await page.locator('dialog .wide-button').click();
  await page.locator('dialog').waitFor({ state: 'detached' });
  assert.deepEqual([await promoted(), (await server.get('/v1/rollout')).step], [2, 3]);
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

test('old decisions and many nodes are counted, not listed', async (t) => {
  const server = await new Server(t).start();
  const act = (what) => fetch(`${server.url}/v1/rollout/${what}`, { method: 'POST', body: '{"reason":"again"}', headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' } });
  for (let i = 0; i < 130; i += 1) {
    assert.equal((await act('pause')).status, 200);
    assert.equal((await act('resume')).status, 200);
  }
  for (let i = 0; i < 23; i += 1) await server.report(1, [10, 0], [1, 0], undefined, `edge-${i}`);
  const page = await visit(server);
  await live(page);
  const older = page.getByRole('button', { name: /^Show older/ });
  await older.waitFor();
  const listed = () => page.locator('.log li').count();
  assert.equal(await listed(), 100);
  await older.click();
  assert.equal(await listed(), 200);
  // The rest is fetched when somebody asks for it.
  const asked = () => page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.includes('/v1/audit')));
  assert.equal((await asked()).filter((url) => url.includes('before=')).length, 1);
  const { audit } = await server.get('/v1/audit');
  assert.ok(audit.length > 250);
  await older.click();
  await older.waitFor({ state: 'hidden' });
  assert.equal(await listed(), audit.length);
  const urls = await asked();
  assert.equal(urls.filter((url) => url.includes('before=')).length, 2, urls.join(' '));
  assert.ok(urls.every((url) => !url.includes('after=0&')), urls.join(' '));
  await shows(page, '#decisions', 'Step 1 began: 10 % to the new version.');
  await shows(page, '#nodes', '3 more nodes are not listed here.');
  assert.equal(await page.locator('#nodes tbody tr').count(), 20);
  await shows(page, '#health', 'since this server began to lead (');
});

test('what the shadow has compared is shown, and told to Prometheus', async (t) => {
  const plan = `${PLAN}shadow: { percentage: 5, min_requests: 1000, max_mismatch: 0.01 }\n`;
  const server = await new Server(t, false, { plan }).start();
  const page = await visit(server);
  await live(page);
  await shows(page, '#shadow', 'Answers compared0 of 1,000 asked for');
  await shows(page, '#shadow', 'Not enough to tell yet.');
  const mirrored = async (sequence, shadow) => {
    const versions = [{ version: 'v2', routed: 0, requests: 0, failures: 0, latency: [], shadow }];
    const body = JSON.stringify({ type: 'totals', node: 'edge-1', epoch: 'a1', sequence, revision: 1, versions });
    const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' };
    const response = await fetch(`${server.url}/v1/totals`, { method: 'POST', body, headers });
    assert.equal(response.status, 200, await response.text());
  };
  await mirrored(1, { compared: 1_200, differed: 6, failures: 2, dropped: 1 });
  await shows(page, '#shadow', 'Answers compared1,200 of 1,000 asked for');
  await shows(page, '#shadow', 'Different status or media type6 (0.5 %)');
  await shows(page, '#shadow', 'Failed at v2 alone2 (0.17 %)');
  await shows(page, '#shadow', 'At most 1 % may differ: v2 may serve clients.');
  await mirrored(2, { compared: 1_300, differed: 60, failures: 2, dropped: 1 });
  await shows(page, '#shadow', 'More than 1 % differ: v2 should not serve clients yet.');
  assert.deepEqual(await axe(page), []);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /^crossfade_shadow_answers\{what="differed"\} 60(\.0)?$/m);
  await shot(page, 'live-shadow');
  // A plan without one has no such card.
  const other = await visit(await new Server(t).start());
  await live(other);
  assert.equal(await other.locator('#shadow').isVisible(), false);
});

test('what was before the page was opened is in its charts', async (t) => {
  const plan = PLAN.replace('rollout:', 'gate: { latency: {} }\nrollout:');
  const server = await new Server(t, false, { plan }).start();
  const first = await visit(server);
  await live(first);
  await server.report(1, [9_000, 80], [1_000, 10]);
  await shows(first, '#versions', '9,000');
  await server.report(2, [18_000, 160], [2_000, 20]);
  await shows(first, '#versions', '18,000');
  // The gate measures how slow v1 is, and compares from then on.
  const latency = async (holds) => {
    const deadline = Date.now() + PATIENCE_MS;
    while (!holds((await server.get('/v1/status')).rollout.evidence?.latency)) {
      assert.ok(Date.now() < deadline, String(holds));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  await latency((told) => told?.thresholds_ms);
  await server.report(3, [27_000, 240], [3_000, 30]);
  await latency((told) => told.step.control_requests > 0);
  // Nothing is reported from now on: what is drawn has been before.
  const page = await visit(server);
  await until(page, () => /observed 10\.0 %/.test(document.querySelector('#health').textContent));
  const drawn = await page.locator('.plot-head').allTextContents();
  assert.equal(drawn.length, 6);
  assert.match(drawn[3], /^Requests that failv1 0\.89 %v2 1\.00 %/);
  // Latencies are those that the gate compares: none is slower than 20 ms.
  assert.match(drawn[4], /^Slow requestsv1 0 %v2 0 %/);
  assert.match(drawn[5], /^Requests a second/);
});
