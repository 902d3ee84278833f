//! Plain `cargo run` and `cargo test` share one compiled wasmtime.
//!
//! Cargo unites the features that everything selected asks for, and tests select more:
//! a crate that only tests use can turn on a feature of something that wasmtime is
//! built on, and then wasmtime is compiled twice, for minutes. `wast` did, by `memchr`.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeSet;
use std::process::Command;

/// Every `package|features` line of `cargo tree` at and below `package`.
fn below(tree: &str, package: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside: Option<usize> = None;
    for line in tree.lines() {
        let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let Ok(depth) = line[..line.len() - name.len()].parse::<usize>() else { continue };
        if inside.is_some_and(|top| depth <= top) {
            inside = None;
        }
        if inside.is_none() && name.split(' ').next() == Some(package) {
            inside = Some(depth);
        }
        if inside.is_some() {
            found.insert(name.to_owned());
        }
    }
    found
}

fn tree(edges: &str) -> String {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--no-dedupe", "--prefix", "depth", "--format", "{p}|{f}"])
        .args(["--edges", edges])
        .current_dir(workspace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tests_ask_no_new_feature_of_what_wasmtime_is_built_on() {
    let run = below(&tree("normal,build"), "wasmtime");
    let test = below(&tree("normal,build,dev"), "wasmtime");
    assert!(run.len() > 20, "{run:?}");
    let differences: Vec<_> = run.symmetric_difference(&test).collect();
    assert!(
        differences.is_empty(),
        "`cargo run` and `cargo test` build these with different features; ask for the \
         same ones in [workspace.dependencies]: {differences:#?}"
    );
}

#[test]
fn only_the_subtree_asked_for_is_looked_at() {
    let tree = "0host v1|\n1wasmtime v48|std\n2object v1|std\n3memchr v2|std\n1memchr v2|alloc\n\
                \n0tests v1|\n1wasmtime v48|std\n2memchr v2|std,default\n";
    let found = below(tree, "wasmtime");
    let expected = ["memchr v2|std", "memchr v2|std,default", "object v1|std", "wasmtime v48|std"];
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    assert_ne!(found, below(&tree.replace(",default", ""), "wasmtime"));
}
