//! Who may do what: every role against every route of the OpenAPI description, as a
//! process; and what keeps web pages and eavesdroppers out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;
use support::http::{Answer, Wire, ask, ask_head, request};
use support::process::crossfade;
use support::serve::{PLAN, Server, wait_for};
use tempfile::TempDir;

/// Name, roles, token.
const HOLDERS: [(&str, &str, &str); 5] = [
    ("reader", "read", "reader-token-7f3a9c1b5d"),
    ("reporter", "report", "reporter-token-2e8b4d6f"),
    ("edge-1", "report:edge-1", "edge-token-91c5a7e3b0d2"),
    ("operator", "operate", "operator-token-c4f8e2a6"),
    ("admin", "admin", "admin-token-5b1d9e7f3c"),
];

/// Who may do what needs this role.
fn allowed(role: &str) -> &'static [&'static str] {
    match role {
        "none" => &["nobody", "stranger", "reader", "reporter", "edge-1", "operator", "admin"],
        "read" => &["reader", "operator", "admin"],
        "report" => &["reporter", "edge-1"],
        "edge" => &["reader", "reporter", "edge-1", "operator", "admin"],
        "operate" => &["operator", "admin"],
        "admin" => &["admin"],
        other => panic!("no role: {other}"),
    }
}

/// Everything about one server that writes its log into a file.
struct Served {
    directory: TempDir,
    child: Child,
    url: String,
}

impl Served {
    fn start(more: &[&str]) -> Served {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("plan.yaml"), PLAN).unwrap();
        let (plan, data) = (path("plan.yaml"), path("data"));
        let mut arguments = vec!["serve", plan.as_str(), "--data", &data];
        arguments.extend(["--listen", "127.0.0.1:0", "--log-level", "trace"]);
        arguments.extend(more);
        let log = fs::File::create(path("log")).unwrap();
        let child = crossfade(&arguments).stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let mut served = Served { directory, child, url: String::new() };
        served.url = wait_for("it listens", || {
            let log = served.log();
            let line = log.lines().find(|line| line.contains("listening on "))?;
            Some(line.split("listening on ").nth(1)?.trim().to_owned())
        });
        served
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A route of the description.
#[derive(Debug)]
struct Route {
    method: String,
    path: String,
    role: String,
    takes_json: bool,
}

fn routes(url: &str) -> Vec<Route> {
    let description = ask(url, "GET", "/v1/openapi.json", &[], "");
    let description: Value = serde_json::from_str(&description.body).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"];
            routes.push(Route {
                method: method.to_uppercase(),
                path: path
                    .replace("{command}", "pause")
                    .replace("{key}", "users")
                    .replace("{client}", "a%2Fb%20c")
                    .replace("{name}", "first"),
                role: operation["x-crossfade-role"].as_str().unwrap().to_owned(),
                takes_json: body.is_object(),
            });
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

fn try_route(url: &str, route: &Route, token: Option<&str>) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    // Heads alone: events never end.
    ask_head(url, &route.method, &route.path, &headers)
}

#[test]
fn each_role_gets_what_is_its_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let lines = HOLDERS.map(|(name, roles, token)| format!("{name} {roles} {token}\n"));
    fs::write(&tokens, lines.concat()).unwrap();
    let served = Served::start(&["--tokens", &tokens.display().to_string()]);
    let stranger = "stranger-token-0000000000";
    let callers = HOLDERS.map(|(name, _, token)| (name, Some(token)));
    let callers = [("nobody", None), ("stranger", Some(stranger))].into_iter().chain(callers);
    for (name, token) in callers {
        for route in routes(&served.url) {
            let answer = try_route(&served.url, &route, token);
            let status = answer.status;
            // It reports for one node, and outcomes name none.
            let bound = name == "edge-1" && route.path == "/v1/outcomes";
            let may = allowed(&route.role).contains(&name) && !bound;
            let denied = matches!(status, 401 | 403);
            assert_eq!(denied, !may, "{name} got {status} for {route:?}");
            if denied {
                let known = HOLDERS.iter().any(|(holder, ..)| *holder == name);
                assert_eq!(status, if known { 403 } else { 401 }, "{name} for {route:?}");
                assert_eq!(answer.header("www-authenticate").is_some(), !known, "{answer:?}");
            }
        }
    }
    // Everything was logged that can be, and no token, right or wrong, is among it.
    let log = served.log();
    assert!(log.contains("listening on"), "{log}");
    let secrets = HOLDERS.iter().map(|(.., token)| *token).chain([stranger]);
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn on_loopback_without_tokens_only_operating_needs_one() {
    let served = Served::start(&[]);
    let token = fs::read_to_string(served.path("data").join("operator.token")).unwrap();
    for route in routes(&served.url) {
        let denied = |answer: &Answer| matches!(answer.status, 401 | 403);
        let nobody = try_route(&served.url, &route, None);
        let guarded = matches!(route.role.as_str(), "operate" | "admin");
        assert_eq!(denied(&nobody), guarded, "{nobody:?} for {route:?}");
        let operator = try_route(&served.url, &route, Some(token.trim()));
        assert!(!denied(&operator), "{operator:?} for {route:?}");
    }
    assert!(!served.log().contains(token.trim()));
}

/// A page in a browser on this machine sends what it likes to 127.0.0.1, but neither JSON
/// unasked nor without its origin; and a name of its own that leads here is not ours.
#[test]
fn a_web_page_cannot_act_on_loopback() {
    let served = Served::start(&[]);
    let url = &served.url;
    let own = url.split("://").nth(1).unwrap();
    for route in routes(url) {
        if route.role == "none" {
            continue;
        }
        let try_it =
            |headers: &[(&str, &str)]| ask_head(url, &route.method, &route.path, headers).status;
        let json = ("content-type", "application/json");
        assert_eq!(try_it(&[json, ("host", "evil.example")]), 403, "{route:?}");
        if route.method == "GET" {
            continue;
        }
        assert_eq!(try_it(&[json, ("origin", "http://evil.example")]), 403, "{route:?}");
        assert_eq!(try_it(&[json, ("origin", "null")]), 403, "{route:?}");
        let same = format!("http://{own}");
        let from_here = try_it(&[json, ("host", own), ("origin", &same)]);
        assert_ne!(from_here, 403, "{route:?}");
        if route.takes_json && route.role != "operate" {
            for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
                assert_eq!(try_it(&[("content-type", kind)]), 415, "{kind} for {route:?}");
            }
        }
    }
}

/// The page's files say nothing of the migration: anybody may have them, but for a page of
/// another name. They learn whether a token has to be asked for, and load nothing from
/// elsewhere.
#[test]
fn the_page_is_for_everybody_and_what_it_shows_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, format!("{} {} {}\n", HOLDERS[0].0, HOLDERS[0].1, HOLDERS[0].2)).unwrap();
    let guarded = Served::start(&["--tokens", &tokens.display().to_string()]);
    let open = Served::start(&[]);
    for (url, about) in [(&guarded.url, "live token"), (&open.url, "live")] {
        let page = ask(url, "GET", "/", &[], "");
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains(&format!("name=\"crossfade\" content=\"{about}\"")), "{page:?}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let tag = page.header("etag").unwrap().to_owned();
        let again = ask_head(url, "GET", "/index.html", &[("if-none-match", &tag)]);
        assert_eq!(again.status, 304, "{again:?}");
    }
    assert_eq!(ask_head(&guarded.url, "GET", "/v1/status", &[]).status, 401);
    assert_eq!(ask_head(&open.url, "GET", "/", &[("host", "evil.example")]).status, 403);
}

/// The table of routes in `docs/serve.md` is that of the description: every request, with
/// its role and what a query may say.
#[test]
fn every_route_of_the_description_stands_in_the_documentation() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let guide = fs::read_to_string(docs.join("serve.md")).unwrap();
    let description = fs::read_to_string(docs.join("openapi.json")).unwrap();
    let description: Value = serde_json::from_str(&description).unwrap();
    let table = guide.split("## Routes").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut told = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        for request in cells[0].split('`').filter(|part| part.contains(" /")) {
            let (request, query) = request.split_once('?').unwrap_or((request, ""));
            let query = query.split('&').map(|part| part.split('=').next().unwrap());
            let query: BTreeSet<&str> = query.filter(|name| !name.is_empty()).collect();
            told.insert(format!("{request} {} {query:?}", cells[1]));
        }
    }
    // The page is no part of the description.
    assert!(told.remove("GET / none {}"), "{told:#?}");
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let query: BTreeSet<&str> = parameters
                .filter(|parameter| parameter["in"] == "query")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let role = operation["x-crossfade-role"].as_str().unwrap();
            described.insert(format!("{} {path} {role} {query:?}", method.to_uppercase()));
        }
    }
    assert_eq!(told, described, "docs/serve.md and docs/openapi.json");
    let roles = guide.split("| role | may |").nth(1).unwrap().split("\n\n").next().unwrap();
    for role in ["read", "report", "report:NODE", "operate", "admin"] {
        assert!(roles.contains(&format!("\n| `{role}` | ")), "{role}: {roles}");
    }
    let help = crossfade(&["serve", "--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("the roles read, report, report:NODE, operate and admin"), "{help}");
}

/// The description is of what is served, it is in the repository, and it is whole.
#[test]
fn the_description_is_the_one_in_the_documentation() {
    let printed = crossfade(&["serve", "--openapi"]).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let kept = fs::read_to_string(kept).unwrap_or_default();
    assert!(
        printed == kept,
        "docs/openapi.json is another: crossfade serve --openapi > docs/openapi.json"
    );
    let served = Served::start(&[]);
    assert_eq!(ask(&served.url, "GET", "/v1/openapi.json", &[], "").body, kept);
    let description: Value = serde_json::from_str(&kept).unwrap();
    let mut operations = BTreeSet::new();
    for operation in description["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap())
    {
        let (_, operation) = operation;
        let id = operation["operationId"].as_str().unwrap();
        assert!(operations.insert(id.to_owned()), "{id} is there twice");
        assert!(operation["summary"].is_string(), "{id} has no summary");
        assert!(operation["responses"]["default"].is_object(), "{id} has no problems");
    }
}

/// What has no route is a problem document that says where routes are listed.
#[test]
fn paths_and_methods_that_are_not_there_are_said_so() {
    let served = Served::start(&[]);
    for (method, path, status) in
        [("GET", "/v1/nothing", 404), ("DELETE", "/v1/policy", 405), ("POST", "/v1/status", 405)]
    {
        let answer = ask(&served.url, method, path, &[], "");
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.body.contains("/v1/openapi.json"), "{answer:?}");
    }
}

/// Elsewhere than on loopback every request needs a token, so there have to be some.
#[test]
fn an_address_that_others_reach_needs_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let plan = directory.path().join("plan.yaml");
    fs::write(&plan, PLAN).unwrap();
    let plan = plan.display().to_string();
    let arguments = ["serve", &plan, "--data", &data, "--listen", "0.0.0.0:0"];
    let output = crossfade(&arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("--tokens"), "{said}");
}

/// One caller's requests are bounded, another's are not touched by that.
#[test]
fn a_caller_beyond_its_rate_is_told_when_to_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.yaml");
    fs::write(&plan, PLAN).unwrap();
    let data = directory.path().join("data");
    let server = Server::start(&data, Some(&plan), &["--rate-limit", "5"]);
    let mut wire = Wire::connect(&server.url);
    let mut limited = None;
    for _ in 0..1_000 {
        assert!(wire.send(request("GET", "/healthz", &[], "")));
        let answer = wire.answer().unwrap();
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let limited = limited.expect("a thousand requests at once are beyond five a second");
    assert_eq!(limited.header("retry-after"), Some("1"), "{limited:?}");
    let token = fs::read_to_string(data.join("operator.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let other = ask(&server.url, "GET", "/healthz", &[("authorization", &bearer)], "");
    assert_eq!(other.status, 200);
    server.kill();
}
