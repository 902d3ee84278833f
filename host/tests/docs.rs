//! The documentation works: every block of commands in every page is executed, in order,
//! with the real program, and what a page shows as its output is compared.
//!
//! How blocks are marked, after three backticks:
//!
//! | mark | |
//! |---|---|
//! | `sh` | executed by bash, in a folder of the page's own; it has to end with 0 |
//! | `sh exit=N` | … with N |
//! | `sh listens=PORT` | a server: it is up when it listens there, and ends with the page |
//! | … `edge` | needs Envoy, workerd and the built modules: `cargo xtask test-edge` runs it |
//! | … `output` | what the commands before it have printed; `…` stands for anything |
//! | … `file=PATH` | what is in that file |
//! | `yaml plan` | a plan document without a problem |
//! | `text` and data formats | shown, not executed |
//!
//! A comment `<!-- setup: COMMANDS -->` is executed and not shown. `CROSSFADE_DOCS=README.md`
//! runs one page alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

#[path = "docs/output.rs"]
mod output;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/session.rs"]
mod session;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use page::Block;
use session::Session;

/// Pages whose commands are somebody else's to run, and who that is.
const ELSEWHERE: [(&str, &str); 2] = [
    ("fuzz/README.md", "cargo-fuzz needs another toolchain"),
    ("tests/edge/certificates/README.md", "made once, by hand, and kept"),
];

/// Blocks that take longer are named: somebody may want to know where the time goes.
const SLOW: Duration = Duration::from_secs(5);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All pages that git knows, or would take up.
fn pages() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"])
        .current_dir(root())
        .output()
        .expect("git starts: it says which pages there are");
    let names = String::from_utf8(output.stdout).unwrap();
    let elsewhere = |name: &str| ELSEWHERE.iter().any(|(page, _)| *page == name);
    let wanted = std::env::var("CROSSFADE_DOCS").ok();
    names
        .split('\0')
        .filter(|name| !name.is_empty() && root().join(name).is_file() && !elsewhere(name))
        .filter(|name| wanted.as_deref().is_none_or(|wanted| wanted == *name))
        .map(str::to_owned)
        .collect()
}

/// Plays the blocks of all pages that are, or are not, for the edge.
fn play(edge: bool) -> Vec<String> {
    let names = pages();
    assert!(!names.is_empty(), "CROSSFADE_DOCS names no page");
    let complaints = thread::scope(|scope| {
        let player = |(at, name): (usize, &String)| {
            let (name, number) = (name.clone(), u8::try_from(at).unwrap());
            scope.spawn(move || play_page(&name, number, edge))
        };
        let players: Vec<_> = names.iter().enumerate().map(player).collect();
        players.into_iter().map(|player| player.join().unwrap()).collect::<Vec<_>>()
    });
    complaints.into_iter().flatten().collect()
}

fn play_page(name: &str, number: u8, edge: bool) -> Vec<String> {
    let text = fs::read_to_string(root().join(name)).unwrap();
    let blocks = match page::blocks(&text) {
        Ok(blocks) => blocks,
        Err(complaints) => {
            return complaints.into_iter().map(|why| format!("{name}:{why}")).collect();
        }
    };
    let ours = |block: &&Block| block.edge == edge;
    let blocks: Vec<_> = blocks.iter().filter(ours).collect();
    if !blocks.iter().any(|block| block.kind.is_played()) {
        return Vec::new();
    }
    let started = Instant::now();
    let mut session = Session::begin(&root(), number, edge);
    for block in &blocks {
        let began = Instant::now();
        let said = session.play(block);
        if began.elapsed() > SLOW {
            println!("{name}:{}: {:.1} s", block.line, began.elapsed().as_secs_f64());
        }
        if let Err(why) = said {
            // What follows builds on it.
            let lines = block.text.lines().map(|line| format!("    {line}\n"));
            let shown: String = lines.take(12).collect();
            return vec![format!("{name}:{}: {why}\n{shown}", block.line)];
        }
    }
    let played = blocks.iter().filter(|block| block.kind.is_played()).count();
    println!("{name}: {played} blocks in {:.1} s", started.elapsed().as_secs_f64());
    Vec::new()
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_command_of_the_documentation_works() {
    none(play(false));
}

#[test]
#[ignore = "needs what `cargo xtask test-edge` installs and builds"]
fn every_command_for_an_edge_works() {
    none(play(true));
}

/// That the test above would notice.
mod would_notice {
    use super::*;

    fn played(text: &str) -> Result<(), String> {
        let blocks = page::blocks(text).map_err(|complaints| complaints.join("; "))?;
        let mut session = Session::begin(&root(), 251, false);
        blocks.iter().try_for_each(|block| session.play(block))
    }

    fn refused(text: &str, because: &str) {
        let why = played(text).expect_err("it does not work");
        assert!(why.contains(because), "{why}");
    }

    #[test]
    fn a_command_that_fails() {
        refused("```sh\ncrossfade chekc\ntrue\n```\n", "ended with 64");
        refused("```sh\nfalse | true\n```\n", "ended with 1");
        refused("```sh exit=2\ntrue\n```\n", "ended with 0, and is to end with 2");
        refused("```sh\ncargo xtask tset\n```\n", "no such task");
        played("```sh\ncargo xtask test-edge\ncargo run -- --version\n```\n").unwrap();
    }

    #[test]
    fn a_server_that_does_not_come_up() {
        refused("```sh listens=7400\nexit 3\n```\n", "ended with 3");
    }

    #[test]
    fn output_that_is_another() {
        let page = |output: &str| format!("```sh\nprintf 'a 1\\nb\\nc\\n'\n```\n{output}");
        played(&page("```text output\na …\nb\nc\n```\n")).unwrap();
        played(&page("```text output\n…\nc\n```\n")).unwrap();
        refused(&page("```text output\na 2\n…\n```\n"), "printed something else");
        refused(&page("```text output\na 1\nb\n```\n"), "printed something else");
    }

    #[test]
    fn a_file_that_has_become_another() {
        let file = fs::read_to_string(root().join("examples/plan.yaml")).unwrap();
        let page = |text: &str| format!("```yaml file=examples/plan.yaml\n{text}```\n");
        played(&page(&file)).unwrap();
        refused(&page(&file[1..]), "has become another");
    }

    #[test]
    fn a_plan_that_is_none() {
        refused("```yaml plan\napi: users\nversoins: [v1, v2]\n```\n", "versoins");
    }

    #[test]
    fn a_block_that_says_nothing_of_itself() {
        for (block, because) in [
            ("```\nls\n```\n", "1: a block without a language"),
            ("```bash\nls\n```\n", "1: `bash` is no language"),
            ("```sh now\nls\n```\n", "1: `now` says nothing here"),
            ("```sh\nls\n", "1: the block has no end"),
            ("```text output\n```\n", "1: output of nothing"),
        ] {
            refused(block, because);
        }
    }
}
