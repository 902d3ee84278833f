// The page of a server that stands by: who leads, and what follows when that one ends.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { axe, clipped, overlapping, PATIENCE_MS, shot, until } from './browser.mjs';
import { children, live, OPERATOR, Server, shows, useToken, visit } from './server.mjs';

/** A NATS server with JetStream, on a port of its own; `again` ends it at once and starts it
 *  where it was, after what is to be done meanwhile. */
async function nats(t) {
  const program = process.env.CROSSFADE_NATS_SERVER;
  assert.ok(program, 'CROSSFADE_NATS_SERVER names no nats-server: run `cargo xtask test-page`');
  const folder = mkdtempSync(join(tmpdir(), 'crossfade-nats-'));
  const config = join(folder, 'nats.conf');
  writeFileSync(config, `listen: "127.0.0.1:-1"\nports_file_dir: "${folder}"\njetstream { store_dir: "${folder}/js", sync_interval: always }\n`);
  let child;
  let ended;
  const start = (...more) => {
    child = spawn(program, ['-c', config, ...more], { stdio: 'ignore' });
    children.add(child);
    const own = child;
    ended = new Promise((resolve) => own.once('exit', resolve)).then(() => children.delete(own));
  };
  const end = async (signal) => {
    child.kill(signal);
    await ended;
  };
  start();
  t.after(async () => {
    await end('SIGTERM');
    rmSync(folder, { recursive: true });
  });
  const again = (url) => async (meanwhile) => {
    await end('SIGKILL');
    await meanwhile();
    start('-p', new URL(url).port);
  };
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    assert.ok(child.exitCode === null && Date.now() < deadline, 'nats-server says where it listens');
    const file = readdirSync(folder).find((name) => name.endsWith('.ports'));
    const told = file && readFileSync(join(folder, file), 'utf8');
    if (told?.trim().endsWith('}')) {
      const [url] = JSON.parse(told).nats;
      return { url, again: again(url) };
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Two servers on one store, which ends after them. */
async function fleet(t) {
  const servers = [0, 1].map(() => new Server(t, true));
  const store = await nats(t);
  for (const server of servers) server.more.push('--store', store.url);
  return [...servers, store];
}

/** Waits for what the server itself says of its standing. */
async function stands(server, word) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const said = await fetch(`${server.url}/readyz`).then((response) => response.text());
    if (said.startsWith(word)) return;
    assert.ok(Date.now() < deadline, `${said}, not ${word}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('a server that stands by says who leads, and shows everything once it leads itself', async (t) => {
  const [first, second] = await fleet(t);
  await first.start();
  await stands(first, 'leading');
  await second.start();
  await stands(second, 'standing by');
  const leading = await visit(first, { expected: /status of 401|ERR_/ });
  const page = await visit(second, { expected: /status of 401|ERR_/ });
  for (const one of [leading, page]) {
    await one.locator('dialog').waitFor();
    await useToken(one, OPERATOR);
  }
  await live(leading);
  await leading.locator('.operator').getByRole('button', { name: 'Pause' }).waitFor();
  await shows(page, '.headline', 'This server stands by.');
  assert.equal(await page.locator('.pill').textContent(), '◌Stands by');
  // Where to look is one click away, and the way back is not closed.
  const link = page.locator('.why a');
  assert.equal(new URL(await link.getAttribute('href')).href, new URL(first.url).href);
  assert.equal(await page.locator('.operator').isVisible(), false);
  assert.equal(await page.locator('.card:visible').count(), 0);
  assert.deepEqual(await axe(page), []);
  for (const [width, height] of [[1440, 900], [1024, 800], [390, 844]]) {
    await page.setViewportSize({ width, height });
    assert.deepEqual(await page.evaluate(clipped), []);
    assert.deepEqual(await page.evaluate(overlapping), []);
    await shot(page, `standby-${width}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });

  await first.end('SIGKILL');
  await until(leading, () => document.querySelector('.state').textContent.startsWith('Connection lost'));
  await live(page);
  await shows(page, '.headline', 'Step 1 of 3: 10 % to v2.');
  await shows(page, '#decisions', 'Step 1 began: 10 % to the new version.');
  await page.locator('.operator').getByRole('button', { name: 'Pause' }).click();
  await page.getByLabel('Reason').fill('the other one ended');
  await page.locator('dialog .wide-button').click();
  await shows(page, '.headline', 'paused by an operator');
  await shows(page, '#decisions', 'alice: the other one ended');
  await second.report(1, [900, 8], [100, 1]);
  await shows(page, '#versions', '900');
  await shot(page, 'standby-leads');

  // The first one comes back and finds itself second: its page says so, where it was.
  await first.start(new URL(first.url).host);
  await shows(leading, '.headline', 'This server stands by.');
  await until(leading, (url) => document.querySelector('.why a')?.href === `${url}/`, second.url);
  assert.equal(await leading.locator('.operator').isVisible(), false);
});

test('a leader that is stopped past its lease says that it leads no more', async (t) => {
  const [first, second] = await fleet(t);
  await first.start();
  await stands(first, 'leading');
  const page = await visit(first, { expected: /status of 401|ERR_/ });
  await page.locator('dialog').waitFor();
  await useToken(page, OPERATOR);
  await live(page);
  await second.start();
  await stands(second, 'standing by');
  first.child.kill('SIGSTOP');
  await stands(second, 'leading');
  first.child.kill('SIGCONT');
  // The connection was never lost.
  await shows(page, '.headline', 'This server stands by.');
  assert.equal(await page.locator('.operator').isVisible(), false);
});

test('a store that is away is said, and what is shown is not called live', async (t) => {
  const [server, , store] = await fleet(t);
  await server.start();
  const page = await visit(server, { expected: /status of (401|503)/ });
  await page.locator('dialog').waitFor();
  await useToken(page, OPERATOR);
  await live(page);
  await page.locator('.operator').waitFor();
  await store.again(async () => {
    await shows(page, '.headline', 'This server stands by.');
    await shows(page, '.why', 'perhaps none, because the store cannot be reached');
    assert.equal(await page.locator('.operator').isVisible(), false);
    assert.deepEqual(await axe(page), []);
    await shot(page, 'store-away');
  });
  await live(page);
  await page.locator('.operator').waitFor();
  await shows(page, '.headline', 'Step 1 of 3: 10 % to v2.');
});
