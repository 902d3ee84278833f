//! `crossfade man`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use support::process::{crossfade, run, stderr};

fn said(arguments: &[&str]) -> String {
    let output = run(crossfade(arguments), b"");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `--help` lists below this one.
fn listed(command: &[&str]) -> Vec<String> {
    let help = said(&[command, &["--help"]].concat());
    let entry = |line: &str| {
        let name = line.strip_prefix("  ")?.split("  ").next()?;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        (is_name && !name.starts_with('-') && name != "help").then(|| name.to_owned())
    };
    // Examples and options are indented as well, but no lone word at two blanks.
    let lists = help.lines().skip_while(|line| !line.ends_with(':') || line.starts_with("Usage"));
    let ends = |line: &&str| !line.starts_with("Options:") && !line.starts_with("Arguments:");
    lists.take_while(ends).filter_map(entry).collect()
}

#[test]
fn every_command_has_a_page_and_every_option_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("man1");
    said(&["man", folder.to_str().unwrap()]);
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    let pages: BTreeMap<_, _> = fs::read_dir(&folder).unwrap().map(read).collect();

    let commands = listed(&[]);
    assert!(commands.len() > 25, "{commands:?}");
    let mut names = vec![vec![]];
    for command in &commands {
        names.push(vec![command.as_str()]);
        let entry = format!("crossfade-{command}(1)");
        assert!(pages["crossfade.1"].replace("\\-", "-").contains(&entry), "no {entry}");
    }
    for name in names {
        let file = format!("{}.1", [&["crossfade"], name.as_slice()].concat().join("-"));
        let page = pages.get(&file).unwrap_or_else(|| panic!("no {file}"));
        let page = page.replace("\\-", "-");
        let help = said(&[name.as_slice(), &["--help"]].concat());
        for word in help.split(|c: char| !(c.is_ascii_lowercase() || c == '-')) {
            let is_option = word.starts_with("--") && word.len() > 3;
            assert!(!is_option || page.contains(word), "{file} does not mention {word}");
        }
    }
    // Commands below commands, too.
    assert!(pages.contains_key("crossfade-policy-get.1"), "{:?}", pages.keys());
    assert!(pages["crossfade-policy-get.1"].contains("crossfade policy get"));
}

#[test]
fn without_a_directory_the_page_goes_to_stdout() {
    let page = said(&["man"]);
    assert!(page.contains(".TH CROSSFADE 1") && page.contains(".SH DESCRIPTION"), "{page}");
    let output = run(crossfade(&["man", "/dev/null/man1"]), b"");
    assert_eq!(output.status.code(), Some(74));
    assert!(stderr(&output).contains("cannot write /dev/null/man1"), "{}", stderr(&output));
}
