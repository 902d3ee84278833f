// Whether the old version may go, as a real server tells it of clients that were reported
// for a month: candidates, forecast, checks.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { CrossfadeInstance } from '../../../edge/worker/crossfade.js';
import { axe, clipped, overlapping, program, shot, until } from './browser.mjs';
import { controls } from './inventory.mjs';
import { live, Server, shows, useToken, visit } from './server.mjs';

const DAY_MS = 86_400_000;
const SOFTWARE = ['okhttp/4.12', 'curl/8.5', 'acme-sdk/2.1'];
const plan = (at) => `
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
deprecation: { deprecated_at: ${new Date(at).toISOString().slice(0, 10)}, sunset_at: ${new Date(at + 90 * DAY_MS).toISOString().slice(0, 10)} }
rollout:
  steps:
    - { percentage: 100, watch_minutes: 60 }
`;

/** A report of what 60 clients did at a moment: most of them moved to v2, one after the other. */
function report(sequence, day, atMs) {
  const at = Math.floor(atMs / 1000) - 600;
  const clients = [];
  for (let n = 0; n < 60; n += 1) {
    const on = n >= 12 && day >= (n - 12) / 2 ? 1 : 0;
    const says = n === 3 && day > 20 ? { says: { blocked: 'uses /export' } } : {};
    clients.push({ key: `client-${n}`, agent: SOFTWARE[n % 3], on, counts: [[on, 100 + n, n % 2, at, at + 300]], ...says });
  }
  return { type: 'clients_report', node: 'edge-1', epoch: '00000000000000a1', sequence, revision: 2, versions: ['v1', 'v2'], clients };
}

/** Lets a stored migration live for so many days with the engine that runs in the server,
 *  and puts its state in the store. The server goes on from then: time never goes back. */
function live_on(server, days) {
  const data = join(server.folder, 'data');
  const run = (args, input) => {
    const { status, stdout, stderr } = spawnSync(program, ['data', ...args], { input, encoding: 'utf8', maxBuffer: 1 << 28 });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  const lines = run(['export', data]).trim().split('\n').map((line) => JSON.parse(line));
  const { checkpoint } = lines.find((line) => line.checkpoint);
  assert.ok(process.env.CROSSFADE_MODULE, 'CROSSFADE_MODULE names no module: run `cargo xtask test-page`');
  const engine = new CrossfadeInstance(new WebAssembly.Module(readFileSync(process.env.CROSSFADE_MODULE)));
  engine.init(Buffer.from('{}'), checkpoint.at_ms, 1, 0);
  engine.restore(new Uint8Array(Buffer.from(checkpoint.snapshot, 'base64')));
  const began = checkpoint.at_ms;
  for (let day = 1; day <= days; day += 1) {
    checkpoint.at_ms = began + day * DAY_MS;
    const line = Buffer.from(`${JSON.stringify({ ...report(day, day, checkpoint.at_ms), type: 'report_clients' })}\n`);
    const said = Buffer.from(engine.handle(line, checkpoint.at_ms)).toString();
    assert.match(said, /report_clients_ok/, said);
    for (let hour = 0; hour < 24; hour += 1) engine.tick(checkpoint.at_ms + hour * 3_600_000);
  }
  checkpoint.at_ms += 23 * 3_600_000;
  checkpoint.snapshot = Buffer.from(engine.snapshot()).toString('base64');
  rmSync(data, { recursive: true });
  run(['import', data], `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
}

const day = (ms) => {
  const year = new Date(ms).getUTCFullYear();
  return `${new Date(ms).getUTCDate()} ${new Date(ms).toLocaleDateString('en-GB', { month: 'short', timeZone: 'UTC' })}${year === new Date().getUTCFullYear() ? '' : ` ${year}`}`;
};

test('candidates, forecast and checks are those of the server', async (t) => {
  const server = new Server(t, false, { plan: plan(Date.now()) });
  await server.start();
  await server.end();
  live_on(server, 24);
  await server.start();
  const page = await visit(server);
  await live(page);
  await useToken(page, server.token);
  await page.locator('dialog').waitFor({ state: 'detached' });
  const { ready, statement, forecast, checks, candidates } = await server.get('/v1/sunset');
  // The server knows what there is to show: what is compared is not nothing.
  assert.equal(ready, false);
  assert.ok(forecast.ready_ms > Date.now() && candidates.length >= 12, `${candidates.length}`);
  assert.deepEqual(checks.map(({ check, ok }) => [check, ok]), [['share', true], ['quiet', false], ['rollout', true], ['clients', false], ['counted', true], ['blocked', false], ['notice', false]]);
  const sunset = page.locator('#sunset');
  await shows(page, '#sunset .statement', statement.split(' The last')[0]);
  assert.equal(await sunset.locator('.answer').textContent(), 'Not yet');
  const shown = await sunset.locator('.checks li').evaluateAll((all) => all.map((li) => [li.className === 'ok', li.querySelector('small').textContent]));
  assert.deepEqual(shown.map(([ok]) => ok), checks.map(({ ok }) => ok));
  assert.equal(shown[3][1], checks[3].detail);
  const when = await sunset.locator('.note').textContent();
  for (const ms of [forecast.low_ms, forecast.ready_ms, forecast.high_ms]) assert.ok(when.includes(day(ms)), `${when} has ${day(ms)}`);
  // Clients are counted, too, where a ledger knows them and totals say nothing.
  const on = async (version) => (await server.get(`/v1/clients?version=${version}&limit=1`)).total;
  const totals = [await on('v1'), await on('v2')];
  assert.equal(totals[0] + totals[1], 60);
  await until(page, (totals) => [...document.querySelectorAll('#versions tbody td:last-child')].map((td) => Number(td.textContent)).join() === totals.join(), totals);
  assert.equal(await page.locator('#versions .note').filter({ hasText: 'not known' }).count(), 0);
  // Whoever will most surely call again is at the top; the heads sort.
  const first = async () => (await sunset.locator('tbody th').allTextContents()).map((text) => text.replace(/(okhttp|curl|acme-sdk).*/, ''));
  assert.deepEqual(new Set(await first()), new Set(candidates.map(({ client }) => client)));
  const again = await sunset.locator('tbody td:last-child').allTextContents();
  assert.deepEqual(again.map(parseFloat), again.map(parseFloat).toSorted((a, b) => b - a));
  for (const [head, column] of [['Client', 'th'], ['State', 'td:nth-child(2)'], ['Next call', 'td:nth-child(3)'], ['Calls again', 'td:nth-child(4)']]) {
    await sunset.getByRole('button', { name: head, exact: true }).click();
    await until(page, (head) => [...document.querySelectorAll('#sunset thead th')].find((th) => th.textContent === head).ariaSort !== 'none', head);
    const cells = await sunset.locator(`tbody ${column}`).allTextContents();
    // Whoever is not expected comes last.
    const order = (a, b) => (a === '–') - (b === '–') || a.localeCompare(b, 'en', { numeric: true });
    const sorted = cells.toSorted(head === 'Calls again' ? (a, b) => parseFloat(b) - parseFloat(a) : order);
    assert.deepEqual(cells, sorted, head);
  }
  // Those of `live-controls.test.mjs`, and these.
  const own = (await controls(page)).filter((control) => !/^(button (Forget token|Colours: .*|Promote|Pause|Abort)|a Rehearse|chart|region Decisions, oldest first)$/.test(control));
  assert.deepEqual(own, ['region Who may call again', 'button Client', 'button State', 'button Next call', 'button Calls again']);
  assert.match(await sunset.locator('tbody').textContent(), /client-3acme|client-3okhttp|client-3curl/);
  assert.match(await sunset.locator('tbody').textContent(), /blockeduses \/export/);
  assert.deepEqual(await axe(page), []);
  for (const [width, height] of [[1440, 900], [1024, 800], [390, 844]]) {
    await page.setViewportSize({ width, height });
    await sunset.scrollIntoViewIfNeeded();
    assert.deepEqual(await page.evaluate(clipped), []);
    assert.deepEqual(await page.evaluate(overlapping), []);
    await shot(page, `sunset-${width}`);
  }
});

test('where nobody told of clients, nothing about them is ticked off', async (t) => {
  const server = await new Server(t).start();
  await server.report(1, [9_000, 80], [1_000, 10]);
  const page = await visit(server);
  await live(page);
  await shows(page, '#versions', '9,000');
  const { checks } = await server.get('/v1/sunset');
  const [clients] = checks.filter(({ check }) => check === 'clients');
  const detail = 'no node has reported clients: who still calls an older version is not known';
  assert.deepEqual([clients.ok, clients.detail], [false, detail]);
  const [shown] = await page.locator('.checks li').evaluateAll((all) => all.filter((li) => /depends on v1/.test(li.textContent)).map((li) => [li.className, li.querySelector('small').textContent]));
  assert.deepEqual(shown, ['', detail]);
});
