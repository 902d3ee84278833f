# The worker with two origins, all in one: `workerd serve edge/worker/config.capnp`, then
#   curl -H 'x-user-id: user123' http://127.0.0.1:8787/users
# In the place of `v1` and `v2` put your own: `external = (address = "…", http = ())`.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "v1", worker = .v1),
    (name = "v2", worker = .v2),
    # What the worker may reach by URL: a control server, origins given as URLs.
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "edge.js", esModule = embed "edge.js"),
    (name = "clients.js", esModule = embed "clients.js"),
    (name = "control.js", esModule = embed "control.js"),
    (name = "crossfade.js", esModule = embed "crossfade.js"),
    (name = "lookup.js", esModule = embed "lookup.js"),
    (name = "outcomes.js", esModule = embed "outcomes.js"),
    (name = "settings.js", esModule = embed "settings.js"),
    (name = "shadow.js", esModule = embed "shadow.js"),
    (name = "crossfade.wasm", wasm = embed "crossfade.wasm"),
  ],
  compatibilityDate = "2026-01-01",
  bindings = [
    (name = "ORIGIN_v1", service = "v1"),
    (name = "ORIGIN_v2", service = "v2"),
    (name = "POLICY", json = embed "policy.json"),
    (name = "REASON_HEADER", text = "x-crossfade-reason"),
    (name = "STATUS_PATH", text = "/crossfade/status"),
  ],
);

const v1 :Workerd.Worker = (
  serviceWorkerScript =
    "addEventListener('fetch', (event) => event.respondWith(new Response(`v1, told ${event.request.headers.get('x-api-version')}\n`)));",
  compatibilityDate = "2026-01-01",
);

const v2 :Workerd.Worker = (
  serviceWorkerScript =
    "addEventListener('fetch', (event) => event.respondWith(new Response(`v2, told ${event.request.headers.get('x-api-version')}\n`)));",
  compatibilityDate = "2026-01-01",
);
