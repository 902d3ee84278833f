//! The arrows between our crates point down only, as `docs/architecture.md` draws them.
//!
//! Read from `cargo metadata --no-deps`: nothing outside the workspace depends on a
//! crate of ours, so the arrows between members are all there are, and following them
//! gives everything that a crate links.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// What each crate may depend on, by folder; `*` stands for all. Dev-dependencies are
/// free: they reach no product.
const ARROWS: [(&str, &[&str]); 16] = [
    ("core", &["core/ledger", "core/protocol"]),
    ("core/ledger", &["core/protocol"]),
    ("core/module", &["core"]),
    ("core/protocol", &[]),
    ("edge/envoy", &["core"]),
    ("examples/plugin", &["core"]),
    ("host", &["core/protocol", "web/sim"]),
    ("tests", &["*"]),
    ("tests/e2e", &["tests/edge"]),
    ("tests/edge", &["core", "core/protocol"]),
    ("tests/edge/noop", &[]),
    ("tests/guests", &["core"]),
    ("tests/worlds", &["core", "core/protocol", "edge/envoy"]),
    ("web", &["core", "web/sim"]),
    ("web/sim", &["core/protocol"]),
    ("xtask", &[]),
];

/// What a crate may not link even by way of others. The host speaks to any module that
/// speaks the contract; with the engine linked in it would be no plugin host.
const NEVER: [(&str, &str); 2] = [("host", "core"), ("web/sim", "core")];

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: String,
    workspace_default_members: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
    default_run: Option<String>,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal dependency.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// A crate as the rules see it.
#[derive(Debug, Clone)]
struct Member {
    folder: String,
    /// Folders of the workspace crates it links or builds with.
    links: Vec<String>,
    /// Makes a module, so is for wasm.
    makes_module: bool,
    default: bool,
}

fn members(metadata: &Metadata) -> Vec<Member> {
    let folder = |package: &Package| {
        let parent = Path::new(&package.manifest_path).parent().unwrap();
        parent.strip_prefix(&metadata.workspace_root).unwrap().to_str().unwrap().to_owned()
    };
    let member_named = |name: &str| metadata.packages.iter().find(|package| package.name == name);
    let member = |package: &Package| Member {
        folder: folder(package),
        links: package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
            .filter_map(|dependency| member_named(&dependency.name).map(folder))
            .collect(),
        makes_module: package
            .targets
            .iter()
            .any(|target| target.crate_types.iter().any(|kind| kind == "cdylib")),
        default: metadata.workspace_default_members.contains(&package.id),
    };
    metadata.packages.iter().map(member).collect()
}

/// The rule for a folder: its own, or that of the folder it is in.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    let rule = |folder: &str| ARROWS.iter().find(|(from, _)| *from == folder);
    let parent = folder.rsplit_once('/').map(|(parent, _)| parent).filter(|p| *p == "tests/guests");
    rule(folder).or_else(|| rule(parent?)).map(|(_, to)| *to)
}

fn wrong_arrows(members: &[Member]) -> Vec<String> {
    let mut wrong = Vec::new();
    for Member { folder, links, .. } in members {
        let Some(allowed) = allowed(folder) else {
            wrong.push(format!("{folder} has no rule: add it to ARROWS and docs/architecture.md"));
            continue;
        };
        for to in links {
            if !allowed.contains(&"*") && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{folder} -> {to} is not an arrow of docs/architecture.md"));
            }
        }
    }
    wrong
}

fn forbidden_links(members: &[Member]) -> Vec<String> {
    let linked = |from: &str| {
        let mut seen = BTreeSet::from([from.to_owned()]);
        let mut queue = vec![from.to_owned()];
        while let Some(next) = queue.pop() {
            for member in members.iter().filter(|member| member.folder == next) {
                let new = member.links.iter().filter(|to| seen.insert((*to).clone()));
                queue.extend(new.cloned());
            }
        }
        seen
    };
    NEVER
        .iter()
        .filter(|(from, to)| linked(from).contains(*to))
        .map(|(from, to)| format!("{from} links {to}, if only through another crate"))
        .collect()
}

fn modules_in_default_members(members: &[Member]) -> Vec<String> {
    members
        .iter()
        .filter(|member| member.makes_module && member.default)
        .map(|member| format!("{} makes a wasm module: not in default-members", member.folder))
        .collect()
}

fn metadata() -> Metadata {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_arrow_is_one_of_the_design() {
    let members = members(&metadata());
    assert!(members.iter().any(|member| member.folder == "core" && !member.links.is_empty()));
    none(wrong_arrows(&members));
}

#[test]
fn the_host_and_the_simulation_know_no_engine() {
    none(forbidden_links(&members(&metadata())));
}

#[test]
fn plain_cargo_build_needs_no_wasm_target() {
    let members = members(&metadata());
    assert!(members.iter().any(|member| member.makes_module));
    assert!(members.iter().any(|member| member.default));
    none(modules_in_default_members(&members));
}

/// The first command of the README. A second program among the default members, and cargo
/// asks which one is meant.
#[test]
fn plain_cargo_run_runs_crossfade() {
    let metadata = metadata();
    let of = |package: &Package| package.default_run.clone();
    let programs: Vec<_> = metadata.packages.iter().filter_map(of).collect();
    assert_eq!(programs, ["crossfade"]);
}

/// The rules above hold today; these show that each would notice.
mod would_notice {
    use super::*;

    fn member(folder: &str, links: &[&str]) -> Member {
        let links = links.iter().map(|to| (*to).to_owned()).collect();
        Member { folder: folder.to_owned(), links, makes_module: false, default: false }
    }

    #[test]
    fn an_arrow_that_points_up() {
        let members = [member("core/protocol", &["core"]), member("core", &["core/protocol"])];
        let wrong = wrong_arrows(&members);
        assert_eq!(wrong, ["core/protocol -> core is not an arrow of docs/architecture.md"]);
    }

    #[test]
    fn a_crate_without_a_rule() {
        let wrong = wrong_arrows(&[member("helpers", &[])]);
        assert!(wrong[0].starts_with("helpers has no rule"), "{wrong:?}");
        assert!(wrong_arrows(&[member("tests/guests/loop", &["core"])]).is_empty());
        assert!(!wrong_arrows(&[member("tests/guests/loop", &["host"])]).is_empty());
    }

    #[test]
    fn the_engine_in_the_host_by_a_detour() {
        let mut members = vec![
            member("host", &["web/sim"]),
            member("web/sim", &["core/protocol"]),
            member("core", &["core/protocol"]),
        ];
        assert!(forbidden_links(&members).is_empty());
        members[1].links.push("core".to_owned());
        assert_eq!(forbidden_links(&members).len(), 2);
    }

    #[test]
    fn a_module_in_the_default_members() {
        let mut module = member("core/module", &["core"]);
        module.makes_module = true;
        assert!(modules_in_default_members(&[module.clone()]).is_empty());
        module.default = true;
        assert_eq!(modules_in_default_members(&[module]).len(), 1);
    }

    #[test]
    fn dev_dependencies_are_told_from_the_others() {
        let metadata: Metadata = serde_json::from_value(serde_json::json!({
            "workspace_root": "/w",
            "workspace_default_members": ["a"],
            "packages": [
                { "id": "a", "name": "crossfade", "manifest_path": "/w/host/Cargo.toml",
                  "targets": [{ "crate_types": ["lib"] }, { "crate_types": ["bin"] }],
                  "dependencies": [
                    { "name": "crossfade-core", "kind": "dev" },
                    { "name": "crossfade-web", "kind": "build" },
                    { "name": "serde", "kind": null } ] },
                { "id": "b", "name": "crossfade-core", "manifest_path": "/w/core/Cargo.toml",
                  "targets": [{ "crate_types": ["lib"] }], "dependencies": [] },
                { "id": "c", "name": "crossfade-web", "manifest_path": "/w/web/Cargo.toml",
                  "targets": [{ "crate_types": ["cdylib"] }, { "crate_types": ["custom-build"] }],
                  "dependencies": [{ "name": "crossfade-core", "kind": null }] },
            ],
        }))
        .unwrap();
        let members = members(&metadata);
        assert_eq!(members[0].links, ["web"]);
        assert!(members[0].default && !members[0].makes_module);
        assert_eq!(members[2].links, ["core"]);
        assert!(members[2].makes_module && !members[2].default);
        assert_eq!(wrong_arrows(&members), ["host -> web is not an arrow of docs/architecture.md"]);
    }
}
