// A real `crossfade serve` for the tests in Node.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const program = process.env.CROSSFADE ?? new URL('../../target/debug/crossfade', import.meta.url).pathname;

/** Starts a server with this plan on a free port of the loopback, with these arguments too. */
export async function serve(plan, ...more) {
  const directory = await mkdtemp(join(tmpdir(), 'crossfade-serve-'));
  const data = join(directory, 'data');
  await writeFile(join(directory, 'plan.yaml'), plan);
  const child = spawn(program, [
    'serve', join(directory, 'plan.yaml'), '--data', data, '--listen', '127.0.0.1:0', ...more,
  ], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
  const log = [];
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line);
      const address = /listening on (\S+)/.exec(line);
      if (address) resolve(address[1]);
    });
    child.once('exit', (code) => reject(new Error(`it ended with ${code}:\n${log.join('\n')}`)));
  });
  const token = (await readFile(join(data, 'operator.token'), 'utf8').catch(() => '')).trim();
  return {
    url,
    token,
    log,
    async post(path, body) {
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    },
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true });
    },
  };
}
