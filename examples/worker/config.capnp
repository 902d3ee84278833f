using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "crossfade.js", esModule = embed "../../edge/worker/crossfade.js"),
    (name = "crossfade.wasm", wasm = embed "../../edge/worker/crossfade.wasm"),
  ],
  bindings = [
    (name = "v1", text = "http://127.0.0.1:8081"),
    (name = "v2", text = "http://127.0.0.1:8082"),
  ],
  compatibilityDate = "2026-01-01",
);
