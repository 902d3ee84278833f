# Our worker and plain.js in one process, before the same two origins. bench.mjs starts it.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "ours", worker = .ours),
    (name = "plain", worker = .plain),
    (name = "v1", worker = .v1),
    (name = "v2", worker = .v2),
  ],
  sockets = [
    (name = "ours", address = "127.0.0.1:0", http = (), service = "ours"),
    (name = "plain", address = "127.0.0.1:0", http = (), service = "plain"),
  ],
);

const ours :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "../worker.js"),
    (name = "edge.js", esModule = embed "../edge.js"),
    (name = "clients.js", esModule = embed "../clients.js"),
    (name = "control.js", esModule = embed "../control.js"),
    (name = "crossfade.js", esModule = embed "../crossfade.js"),
    (name = "lookup.js", esModule = embed "../lookup.js"),
    (name = "outcomes.js", esModule = embed "../outcomes.js"),
    (name = "settings.js", esModule = embed "../settings.js"),
    (name = "shadow.js", esModule = embed "../shadow.js"),
    (name = "crossfade.wasm", wasm = embed "../crossfade.wasm"),
  ],
  compatibilityDate = "2026-01-01",
  bindings = [
    (name = "ORIGIN_v1", service = "v1"),
    (name = "ORIGIN_v2", service = "v2"),
    (name = "POLICY", json = embed "policy.json"),
  ],
);

const plain :Workerd.Worker = (
  modules = [
    (name = "plain.js", esModule = embed "plain.js"),
    (name = "xxh64.js", esModule = embed "xxh64.js"),
  ],
  compatibilityDate = "2026-01-01",
  bindings = [
    (name = "ORIGIN_v1", service = "v1"),
    (name = "ORIGIN_v2", service = "v2"),
  ],
);

const v1 :Workerd.Worker = (
  modules = [(name = "v1.js", esModule = "export default { fetch() { return new Response('v1\\n'); } };")],
  compatibilityDate = "2026-01-01",
);

const v2 :Workerd.Worker = (
  modules = [(name = "v2.js", esModule = "export default { fetch() { return new Response('v2\\n'); } };")],
  compatibilityDate = "2026-01-01",
);
