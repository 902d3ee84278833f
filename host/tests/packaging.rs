//! What is in `packaging` and `examples/kubernetes` fits the program and itself. Envoy
//! looks at its configuration in the stage `edge`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::process::{crossfade, run};
use support::serve::{Server, totals};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every option is one of `crossfade serve`.
#[track_caller]
fn known_to_serve<'a>(arguments: impl Iterator<Item = &'a str>) {
    let help = String::from_utf8(run(crossfade(&["serve", "--help"]), b"").stdout).unwrap();
    let mut arguments = arguments.skip_while(|argument| *argument != "serve");
    assert_eq!(arguments.next(), Some("serve"));
    for option in arguments.filter(|argument| argument.starts_with("--")) {
        let name = option.split('=').next().unwrap();
        assert!(help.contains(&format!("{name} ")), "serve has no {name}");
    }
}

#[test]
fn the_unit_starts_what_there_is_and_systemd_takes_it() {
    let unit = read("packaging/systemd/crossfade.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(start.starts_with("/usr/local/bin/crossfade serve "), "{start}");
    known_to_serve(start.split(' '));
    // Where there is no systemd this says nothing.
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crossfade.service");
    fs::write(&file, unit.replace("/usr/local/bin/crossfade", "/bin/true")).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("crossfade.service")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn images_are_built_by_tasks_that_exist_and_run_without_rights() {
    let tasks = read("xtask/src/main.rs");
    for (path, wanted) in [
        ("packaging/docker/Dockerfile", ["xtask page", "xtask static"].as_slice()),
        ("packaging/docker/envoy.Dockerfile", &["xtask edge"]),
    ] {
        let text = read(path);
        for task in wanted {
            assert!(text.contains(&format!("cargo {task}")), "{path}: {task}");
            let name = task.split(' ').next_back().unwrap();
            let variant = name[..1].to_uppercase() + &name[1..];
            assert!(tasks.contains(&format!("    {variant}(")), "there is no task {name}");
        }
        let last = text.split("\nFROM ").last().unwrap();
        assert!(last.contains("\nUSER 65532:65532\n"), "{path} runs as root");
        let toolchain = read("Cargo.toml");
        let version = toolchain.lines().find_map(|line| line.strip_prefix("rust-version = "));
        let image = format!("FROM rust:{}-", version.unwrap().trim_matches('"'));
        assert!(text.contains(&image), "{path}: not {image}");
        assert!(text.contains("RUSTUP_TOOLCHAIN="), "{path}: rustup would fetch another Rust");
        copied(path, &text);
    }
    // The page's build empties this folder, and cargo watches it.
    let left_out = read(".dockerignore");
    assert!(!left_out.lines().any(|line| line == "web/page/dist"), "{left_out}");
}

/// What is copied is there: in the repository, or made by the stage before.
#[track_caller]
fn copied(path: &str, text: &str) {
    let copies: Vec<_> = text.lines().filter(|line| line.starts_with("COPY ")).collect();
    assert!(copies.len() > 1, "{path}");
    for line in copies {
        let words: Vec<_> =
            line.split(' ').skip(1).filter(|word| !word.starts_with("--")).collect();
        let [sources @ .., _] = words.as_slice() else { panic!("{path}: {line}") };
        assert!(!sources.is_empty(), "{path}: {line}");
        for source in sources {
            let there = if line.contains("--from=build") {
                let built = source.strip_prefix("/src/");
                // By its task, or by a command above.
                let made = text.split("FROM ").nth(1).unwrap().contains(&format!(" {source}"));
                made || built.is_some_and(is_built_there)
            } else {
                root().join(source).exists()
            };
            assert!(there, "{path}: nothing makes {source}: {line}");
        }
    }
}

/// Whether git is told that this file is made by a build.
fn is_built_there(file: &str) -> bool {
    let path = Path::new(file);
    let ending = path.extension().unwrap().to_str().unwrap();
    let pattern = format!("/{}/*.{ending}", path.parent().unwrap().display());
    read(".gitignore").lines().any(|line| line == pattern)
}

/// The documents of a file of manifests.
fn manifests(path: &str) -> Vec<Value> {
    let documents = crossfade::yaml::parse_documents(path, read(path).as_bytes()).unwrap();
    documents.into_iter().map(|document| document.value).collect()
}

fn named<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = all.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn manifests_lead_to_each_other() {
    let mut all = manifests("examples/kubernetes/crossfade.yaml");
    all.extend(manifests("examples/kubernetes/users.yaml"));
    assert_eq!(all.len(), 7);
    let kustomization = read("examples/kubernetes/kustomization.yaml");
    for service in all.iter().filter(|one| one["kind"] == "Service") {
        let app = service["spec"]["selector"]["app"].as_str().unwrap();
        let pods = &named(&all, "Deployment", app)["spec"]["template"];
        assert_eq!(pods["metadata"]["labels"]["app"], app);
        let port = &service["spec"]["ports"][0]["targetPort"];
        let containers = pods["spec"]["containers"].as_array().unwrap();
        let ports = containers.iter().flat_map(|one| one["ports"].as_array().unwrap());
        assert_eq!(ports.filter(|found| found["name"] == *port).count(), 1, "{app}: {port}");
    }
    for deployment in all.iter().filter(|one| one["kind"] == "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            let made = ["/configMap/name", "/secret/secretName"];
            let made = made.iter().find_map(|path| volume.pointer(path));
            if let Some(made) = made {
                let made = format!("name: {},", made.as_str().unwrap());
                assert!(kustomization.contains(&made), "nothing makes {made}");
            }
            let name = volume["name"].as_str().unwrap();
            let mounts = pod["containers"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|one| one["volumeMounts"].as_array().into_iter().flatten());
            assert_eq!(mounts.filter(|mount| mount["name"] == name).count(), 1, "{name}");
        }
    }
    let serve = &named(&all, "Deployment", "crossfade")["spec"]["template"]["spec"];
    let arguments = serve["containers"][0]["args"].as_array().unwrap();
    known_to_serve(arguments.iter().map(|argument| argument.as_str().unwrap()));
    let plan = root().join("examples/kubernetes/migration.yaml");
    let checked = run(crossfade(&["check", plan.to_str().unwrap()]), b"");
    assert_eq!(checked.status.code(), Some(0));
}

#[test]
fn alerts_name_metrics_that_there_are_and_pages_that_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.yaml");
    fs::write(&plan, read("examples/migration.yaml")).unwrap();
    let server = Server::start(&directory.path().join("data"), Some(&plan), &[]);
    // What is not known yet has no series.
    assert_eq!(server.post("/v1/totals", &totals("edge", 1, 7, 0)).status, 200);
    let mut metrics = ureq::get(format!("{}/metrics", server.url)).call().unwrap();
    let known = metrics.body_mut().read_to_string().unwrap()
        + &read("edge/envoy/README.md")
        + &read("docs/serve.md");
    let operations = read("docs/operations.md");
    let rules = &manifests("packaging/prometheus/alerts.yaml")[0];
    let groups = rules["groups"].as_array().unwrap();
    let rules: Vec<_> =
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 8);
    for rule in rules {
        let expression = rule["expr"].as_str().unwrap();
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let metrics: Vec<_> = words.filter(|word| word.starts_with("crossfade_")).collect();
        for metric in &metrics {
            assert!(known.contains(metric), "{expression}: no metric {metric}");
        }
        let envoys_own = expression.contains("envoy_wasm_crossfade_");
        assert!(envoys_own || !metrics.is_empty(), "{expression}");
        let runbook = rule["annotations"]["runbook"].as_str().unwrap();
        let anchor = runbook.strip_prefix("docs/operations.md#").unwrap();
        let heading = |line: &str| line.starts_with("## ") && slug(line) == anchor;
        assert!(operations.lines().any(heading), "no heading for {runbook}");
    }
    server.end();
}

fn slug(heading: &str) -> String {
    heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")
}
