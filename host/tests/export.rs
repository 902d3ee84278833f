//! `crossfade export`: what comes out, what is refused, and files that are kept up to date.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::process::{Running, crossfade, run, stderr};

const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
canary_percentage: 10
";

fn export(arguments: &[&str], plan: &str) -> Output {
    run(crossfade(&[&["export"], arguments, &["-"]].concat()), plan.as_bytes())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn routes(document: &Value) -> &Value {
    &document["resources"][0]["virtual_hosts"][0]["routes"]
}

/// YAML and JSON are one document, and what there is to say stands in both places.
#[test]
fn the_document_is_the_same_as_yaml_and_as_json() {
    let yaml = export(&["envoy", "--cluster", "v2=users-v2"], PLAN);
    let json = export(&["envoy", "--cluster", "v2=users-v2", "--output", "json"], PLAN);
    assert_eq!(yaml.status.code(), Some(0), "{}", stderr(&yaml));
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    let read = crossfade::yaml::parse_document("yaml", &yaml.stdout).unwrap();
    assert_eq!(read.value, document);
    let clusters = &routes(&document)[1]["route"]["weighted_clusters"]["clusters"];
    assert_eq!(clusters[0]["name"], "users-v2");
    assert!(stdout(&yaml).contains("\"canary 10 %\"  # line 4: canary_percentage\n"));
    assert!(stderr(&yaml).starts_with("standard input:3:1: warning: key: "), "{}", stderr(&yaml));
    assert!(stdout(&yaml).contains("\n# standard input:3:1: warning: key: "), "{}", stdout(&yaml));
}

#[test]
fn everything_that_cannot_be_said_is_named_by_line_and_nothing_is_written() {
    let plan = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
salt: spring
canary_percentage: 10
rules:
  - { name: beta, split: { v1: 50, v2: 50 } }
";
    let output = export(&["envoy"], plan);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(stdout(&output), "");
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "crossfade: standard input cannot be exported:");
    assert!(lines[1].starts_with("standard input:4:7: salt: "), "{said}");
    assert!(lines[2].starts_with("standard input:7:19: rules[0].split: "), "{said}");
    assert_eq!(lines.len(), 3, "{said}");
}

#[test]
fn a_plan_with_problems_is_refused_as_check_would() {
    let output = export(&["gateway-api", "--parent", "public"], "api: users\nkey: address\n");
    assert_eq!(output.status.code(), Some(65));
    assert!(stderr(&output).contains("`versions` is missing"), "{}", stderr(&output));
}

#[test]
fn the_command_line_is_checked_before_anything_is_written() {
    let code = |arguments: &[&str]| export(arguments, PLAN).status.code();
    assert_eq!(code(&["envoy", "--cluster", "v3=users-v3"]), Some(64));
    assert_eq!(code(&["envoy", "--cluster", "v1"]), Some(64));
    assert_eq!(code(&["envoy", "--watch"]), Some(64));
    assert_eq!(code(&["envoy", "--watch", "--to", "routes.yaml"]), Some(64), "stdin");
    assert_eq!(code(&["envoy", "--prefix", "users"]), Some(64));
    assert_eq!(code(&["envoy", "--version-header", "x api"]), Some(64));
    let twice = ["--cluster", "v2=a", "--cluster", "v2=b", "--cluster", "v9=c"];
    let both = export(&[&["envoy"], twice.as_slice()].concat(), PLAN);
    assert_eq!(both.status.code(), Some(64));
    assert_eq!(
        stderr(&both),
        "crossfade: `v2` is given twice\nthe plan has no version `v9`: known are v1, v2\n"
    );
    assert_eq!(code(&["envoy-filter", "--cluster", "v1=nowhere"]), Some(64));
    assert_eq!(code(&["gateway-api"]), Some(64));
    // What Envoy or Kubernetes would refuse is not written for them.
    assert_eq!(code(&["envoy", "--domain", "a b"]), Some(64));
    assert_eq!(code(&["envoy", "--name", ""]), Some(64));
    let clusters = ["envoy-filter", "--cluster", "v1=10.0.0.1:80", "--cluster", "v2=10.0.0.2:80"];
    let filter = |more: &[&str]| export(&[&clusters, more].concat(), PLAN);
    assert_eq!(filter(&["--listen", "localhost:80"]).status.code(), Some(64));
    let same = filter(&["--listen", "127.0.0.1:9901"]);
    assert_eq!(same.status.code(), Some(64));
    assert_eq!(stderr(&same), "crossfade: `--listen` and `--admin` are both 127.0.0.1:9901\n");
    assert_eq!(filter(&["--version-header", "x-user-id"]).status.code(), Some(65));
    let parent = ["gateway-api", "--parent", "public"];
    for wrong in [["--hostname", "a:80"], ["--namespace", "A"], ["--backend", "v1=A:80"]] {
        assert_eq!(code(&[&parent[..], &wrong].concat()), Some(64), "{wrong:?}");
    }
    let missing = export(&["envoy-filter", "--cluster", "v1=10.0.0.1:80"], PLAN);
    assert_eq!(missing.status.code(), Some(65));
    assert!(stderr(&missing).contains("--cluster v2=HOST:PORT"), "{}", stderr(&missing));
}

#[test]
fn the_filters_configuration_carries_the_plan_as_it_was_written() {
    let plan = format!("{PLAN}pins: {{ \"it's \\\"quoted\\\"\": v2 }}\n");
    let clusters = ["--cluster", "v1=10.0.0.1:80", "--cluster", "v2=users.example:80"];
    let arguments =
        [&["envoy-filter"], clusters.as_slice(), &["--control", "http://10.0.0.9:9000"]];
    let output = export(&arguments.concat(), &plan);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = crossfade::yaml::parse_document("yaml", &output.stdout).unwrap().value;
    let manager = &document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let wasm = &manager["typed_config"]["http_filters"][0]["typed_config"]["config"];
    let configuration: Value =
        serde_json::from_str(wasm["configuration"]["value"].as_str().unwrap()).unwrap();
    assert_eq!(configuration["policy"]["pins"], json!({ "it's \"quoted\"": "v2" }));
    assert_eq!(configuration["control"]["cluster"], "crossfade_control");
}

#[test]
fn a_token_stands_in_the_file_only_when_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let arguments = |token: &Path| {
        let control = ["--control", "10.0.0.9:9000", "--control-token-file"];
        let clusters = ["--cluster", "v1=10.0.0.1:80", "--cluster", "v2=10.0.0.2:80"];
        let all = [["envoy-filter"].as_slice(), &clusters, &control, &[token.to_str().unwrap()]];
        export(&all.concat(), PLAN)
    };
    assert_eq!(arguments(&token).status.code(), Some(74), "there is no such file");
    fs::write(&token, " \n").unwrap();
    assert_eq!(arguments(&token).status.code(), Some(65), "there is nothing in it");
    fs::write(&token, "secret 7\n").unwrap();
    let spaced = arguments(&token);
    assert_eq!(spaced.status.code(), Some(65), "no header has that");
    assert!(!stderr(&spaced).contains("secret"), "{}", stderr(&spaced));
    fs::write(&token, "secret-7\n").unwrap();
    let output = arguments(&token);
    assert!(stdout(&output).contains(r#""token": "secret-7""#), "{}", stdout(&output));
    assert!(!stderr(&output).contains("secret-7"));
}

/// The configuration in the repository is this command's, with upstreams of its own and
/// comments by hand.
#[test]
fn the_shipped_configuration_says_what_the_command_writes() {
    let shipped = include_bytes!("../../edge/envoy/envoy.yaml");
    let mut shipped = crossfade::yaml::parse_document("envoy.yaml", shipped).unwrap().value;
    let value = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/configuration/value";
    let value = format!("/static_resources/listeners/0{value}");
    let configuration = |document: &mut Value| -> Value {
        let text = document.pointer_mut(&value).unwrap().take();
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    };
    let in_it = configuration(&mut shipped);
    let plan = in_it["policy"].to_string();
    let clusters = ["--cluster", "v1=127.0.0.1:10001", "--cluster", "v2=127.0.0.1:10002"];
    let listen = ["--listen", "127.0.0.1:10000", "--output", "json"];
    let output = export(&[["envoy-filter"].as_slice(), &clusters, &listen].concat(), &plan);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut written: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(configuration(&mut written), in_it);
    let listeners = shipped["static_resources"]["listeners"].as_array_mut().unwrap();
    listeners.truncate(1);
    assert_eq!(written, shipped);
}

#[test]
fn a_full_disk_is_an_error_and_a_reader_who_leaves_is_none() {
    let full = export(&["envoy", "--to", "/dev/full"], PLAN);
    assert_eq!(full.status.code(), Some(74), "{}", stderr(&full));
    assert!(stderr(&full).contains("/dev/full"), "{}", stderr(&full));
    let nowhere = export(&["envoy", "--to", "/no/such/folder/routes.yaml"], PLAN);
    assert_eq!(nowhere.status.code(), Some(74));

    let mut child = crossfade(&["export", "envoy", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(PLAN.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watched_plan_is_written_again_when_it_can_be_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, routes) = (dir.path().join("plan.yaml"), dir.path().join("routes.json"));
    fs::write(&plan, PLAN).unwrap();
    let arguments = ["export", "envoy", plan.to_str().unwrap(), "--output", "json", "--watch"];
    let watching =
        Running::start(crossfade(&[&arguments[..], &["--to", routes.to_str().unwrap()]].concat()));
    let wait_for = |words: &str| drop(watching.logged(words));
    let weight = || -> Value {
        let document: Value = serde_json::from_slice(&fs::read(&routes).unwrap()).unwrap();
        self::routes(&document)[1]["route"]["weighted_clusters"]["clusters"][0]["weight"].clone()
    };
    // A file is written beside and renamed, as editors do.
    let edit = |text: &str| {
        let beside = dir.path().join("plan.yaml.new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &plan).unwrap();
    };
    wait_for("watching");
    assert_eq!(weight(), 1000);
    edit(&PLAN.replace("10\n", "25\n"));
    wait_for("wrote");
    assert_eq!(weight(), 2500);
    edit(&format!("{PLAN}salt: spring\n"));
    wait_for("salt");
    wait_for("stays as it is");
    assert_eq!(weight(), 2500);
    edit("{");
    wait_for("stays as it is");
    assert_eq!(weight(), 2500);
    edit(&PLAN.replace("10\n", "50\n"));
    wait_for("wrote");
    assert_eq!(weight(), 5000);

    watching.signal(Signal::INT);
    assert_eq!(watching.end().code(), Some(130));
}
