// The engine, in a thread of its own: plays the script, and posts frames.

import init, { columns, lastPanic, scenarios, Simulation } from "./wasm/crossfade_web.js";
import type { Frame, Reply, Request, Status, Sunset } from "./types.ts";

/** Requests in one go: some ten milliseconds, so that messages are heard in between. */
const SLICE = 120_000;
const DOTS = 64;
const EVERY_MS = { frame: 16, squares: 120, status: 100, sunset: 500 };

let simulation: Simulation | undefined;
let run = 0;
let speed = 100;
let playing = false;
/** The time that is shown; the simulation is ahead of it by a part of a tick. */
let shown = 0;
let last = performance.now();
let reached = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
const due = { squares: 0, status: 0, sunset: 0 };
/** When the run goes on by itself only so far: a while after its end. */
let stopAt = Infinity;
let ended = false;

const post = (reply: Reply, transfer: Transferable[] = []) => (postMessage as (m: unknown, t: Transferable[]) => void)(reply, transfer);

function failed(error: unknown) {
  playing = false;
  const broken = error instanceof WebAssembly.RuntimeError;
  const detail = (broken && lastPanic()) || (error instanceof Error ? error.message : String(error));
  simulation = undefined;
  post({ type: "failed", message: broken ? "The engine stopped." : "The engine could not go on.", detail });
}

/** Everything that has changed; `all` also what is not due yet. */
function frame(all: boolean) {
  if (!simulation) return;
  const now = performance.now();
  const rows = simulation.takeRows();
  const events = simulation.takeEvents();
  const told: Frame = { run, now: Math.min(shown, simulation.nowMs), requests: simulation.requests, playing, reached, rows, events };
  const transfer: Transferable[] = [rows.buffer];
  if (all || events.length > 0 || now >= due.status) {
    due.status = now + EVERY_MS.status;
    told.status = simulation.ask("get_rollout") as Status;
    told.outcome = simulation.outcome();
    settle(told.status);
  }
  if (all || now >= due.squares) {
    due.squares = now + EVERY_MS.squares;
    told.squares = simulation.squares();
    told.dots = simulation.dots(DOTS);
    transfer.push(told.squares.buffer, told.dots.buffer);
  }
  if (all || now >= due.sunset) {
    due.sunset = now + EVERY_MS.sunset;
    told.sunset = simulation.ask("get_sunset") as Sunset;
  }
  told.playing = playing;
  post({ type: "frame", frame: told }, transfer);
}

/** A run that has ended plays on for a little, so that its end is seen, and then waits. */
function settle(status: Status) {
  const over = ["completed", "rolled_back", "aborted", "undone", "timed_out"].includes(status.phase);
  if (over && !ended) stopAt = shown + Math.max(180_000, speed * 1_500);
  if (!over) stopAt = Infinity;
  ended = over;
}

function loop() {
  timer = undefined;
  if (!simulation || !playing) return;
  try {
    const now = performance.now();
    const passed = Math.min(now - last, 100);
    last = now;
    const wanted = Math.min(shown + passed * speed, stopAt);
    // Looking at the evidence costs as much as a thousand requests: often enough for the
    // charts is enough.
    const perFrame = (passed * speed) / 5_000;
    const got = simulation.runTo(wanted, SLICE, Math.max(1, Math.ceil(perFrame / 6)));
    const next = Math.min(wanted, got);
    const rate = passed > 0 ? (next - shown) / passed : 0;
    reached = reached === 0 ? rate : reached * 0.9 + rate * 0.1;
    shown = next;
    const stopped = shown >= stopAt;
    if (stopped) {
      playing = false;
      stopAt = Infinity;
    }
    frame(stopped);
    if (playing) timer = setTimeout(loop, Math.max(0, EVERY_MS.frame - (performance.now() - now)));
  } catch (error) {
    failed(error);
  }
}

function play(on: boolean) {
  playing = on && simulation !== undefined;
  reached = 0;
  last = performance.now();
  if (playing && timer === undefined) timer = setTimeout(loop, 0);
}

function start(message: Extract<Request, { type: "start" }>) {
  let next: Simulation;
  try {
    next = new Simulation(message.script);
  } catch (error) {
    if (error instanceof Error && "problems" in error) {
      const problems = error.problems as { path: string; message: string }[];
      post({ type: "refused", run: message.run, problems });
      return;
    }
    throw error;
  }
  simulation?.free();
  simulation = next;
  ({ run, speed } = message);
  shown = 0;
  stopAt = Infinity;
  ended = false;
  if (message.at > 0) shown = simulation.seek(message.at);
  play(message.play);
  frame(true);
}

function answer(message: Request) {
  if (message.type === "start") return start(message);
  if (!simulation) return;
  switch (message.type) {
    case "play":
      play(message.on);
      frame(false);
      break;
    case "speed":
      speed = message.value;
      reached = 0;
      break;
    case "seek":
      shown = simulation.seek(message.ms);
      reached = 0;
      last = performance.now();
      stopAt = Infinity;
      frame(true);
      break;
    case "step":
      shown = simulation.runTo(simulation.nowMs + message.ms, Infinity, 1);
      frame(true);
      break;
    case "amend":
      // The page saw less than was played: what it did not see is played anew.
      if (simulation.nowMs > message.at) simulation.seek(message.at);
      simulation.takeRows();
      simulation.takeEvents();
      simulation.amend(message.script);
      ({ run } = message);
      shown = Math.min(shown, simulation.nowMs);
      stopAt = Infinity;
      ended = false;
      frame(true);
      break;
    case "client":
      post({ type: "client", place: message.place, card: simulation.client(message.place) ?? null });
      break;
    case "digest":
      post({ type: "digest", id: message.id, digest: simulation.digest(), now: simulation.nowMs });
      break;
  }
}

const loaded = init();
onmessage = async (event: MessageEvent<Request>) => {
  try {
    await loaded;
    answer(event.data);
  } catch (error) {
    failed(error);
  }
};
loaded.then(
  () => post({ type: "ready", columns: columns(), scenarios: scenarios() }),
  (error: unknown) => post({ type: "failed", message: "The engine could not be loaded.", detail: String(error) }),
);
