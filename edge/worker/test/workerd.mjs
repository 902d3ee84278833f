// A real workerd on a free port of the loopback address, for one test file.

import { spawn } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { path as wasm } from './engine.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const worker = dirname(here);

/** The binary. */
export const binary = join(worker, '../../.tools/workerd-1.20261117.1/workerd');

if (!existsSync(binary)) throw new Error(`${binary} is missing: run \`cargo xtask edge-tools\``);

/** A folder with the worker's files and the module, where a configuration may embed them. */
export function folder() {
  const made = mkdtempSync(join(tmpdir(), 'crossfade-worker-'));
  for (const file of readdirSync(worker)) {
    if (/\.(js|json|capnp)$/.test(file)) copyFileSync(join(worker, file), join(made, file));
  }
  for (const part of ['test', 'bench']) {
    const from = join(worker, part);
    if (existsSync(from)) cpSync(from, join(made, part), { recursive: true });
  }
  copyFileSync(wasm, join(made, 'crossfade.wasm'));
  return made;
}

/**
 * Starts workerd with a configuration in a folder; gives `{url, port, ports, pid, log,
 * stop}` when it listens on all its sockets. `log()` is what it has written so far.
 */
export async function serve(made, file, sockets = ['http']) {
  const addresses = sockets.map((socket) => `--socket-addr=${socket}=127.0.0.1:0`);
  const args = ['serve', join(made, file), ...addresses, '--control-fd=3', '--verbose'];
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => { log += text; });
  }
  const ended = new Promise((resolve) => { child.once('exit', resolve); });
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(made, { recursive: true, force: true });
  };
  const listening = new Promise((resolve, reject) => {
    let said = '';
    child.stdio[3].setEncoding('utf8').on('data', (text) => {
      said += text;
      const found = [...said.matchAll(/"socket":"(\w+)","port":(\d+)/g)];
      if (found.length === sockets.length) resolve(Object.fromEntries(found.map(([, socket, port]) => [socket, Number(port)])));
    });
    ended.then((code) => reject(new Error(`workerd ended with ${code}: ${log}`)));
  });
  try {
    const ports = await listening;
    const port = ports[sockets[0]];
    return { url: `http://127.0.0.1:${port}`, port, ports, pid: child.pid, log: () => log, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Starts worker.js, or another `main` in its place, with these bindings: text, objects as JSON, and
 * `{service: port}` for what listens on that port of the loopback address.
 */
export function serveWorker(bindings, main = 'worker.js') {
  const made = folder();
  const externals = [];
  const bound = Object.entries(bindings).map(([name, value]) => {
    if (typeof value === 'string') return `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(value)})`;
    if (value.service !== undefined) {
      externals.push(`(name = "${name}", external = (address = "127.0.0.1:${value.service}", http = ()))`);
      return `(name = "${name}", service = "${name}")`;
    }
    writeFileSync(join(made, `${name}.binding`), JSON.stringify(value));
    return `(name = "${name}", json = embed "${name}.binding")`;
  });
  const others = readdirSync(made).filter((name) => name.endsWith('.js') && name !== main);
  const modules = [main, ...others].map((file) => `(name = "${basename(file)}", esModule = embed "${file}")`);
  writeFileSync(join(made, 'test.capnp'), `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = ["public", "private"])),
    ${externals.join(',\n    ')}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "edge")],
);
const edge :Workerd.Worker = (
  modules = [${[...modules, '(name = "crossfade.wasm", wasm = embed "crossfade.wasm")'].join(',\n    ')}],
  compatibilityDate = "2026-01-01",
  bindings = [${bound.join(',\n    ')}],
);
`);
  return serve(made, 'test.capnp');
}
