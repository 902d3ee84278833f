# `workerd serve edge/worker/test/conformance.capnp`, then
#   curl --data-binary @cases http://127.0.0.1:8788/
# For another port: `-s http=127.0.0.1:0 --control-fd=3` writes to fd 3 which it was.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "conformance", worker = .conformance)],
  sockets = [(name = "http", address = "127.0.0.1:8788", http = (), service = "conformance")],
);

const conformance :Workerd.Worker = (
  modules = [
    (name = "test/conformance.worker.js", esModule = embed "conformance.worker.js"),
    (name = "test/conformance.mjs", esModule = embed "conformance.mjs"),
    (name = "test/crossfade.wasm", wasm = embed "../crossfade.wasm"),
    (name = "crossfade.js", esModule = embed "../crossfade.js"),
  ],
  compatibilityDate = "2026-01-01",
);
