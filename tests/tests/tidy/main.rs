//! How this repository keeps itself: small rules over the files that git knows, or
//! would take up. Each rule is a function from files to complaints, with a test that
//! it complains.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

mod links;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of ours.
#[derive(Debug, Clone)]
struct File {
    /// From the top of the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        // Not `lines`, which hides a carriage return.
        self.text
            .split('\n')
            .enumerate()
            .map(|(at, line)| (format!("{}:{}", self.path, at + 1), line))
    }

    fn ends_in(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|found| found.to_str());
        extension.is_some_and(|found| extensions.contains(&found))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn git_files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git starts: these rules look at the files that git knows");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    // A file that was deleted but not yet committed is still listed.
    let there = |name: &&str| !name.is_empty() && root().join(name).is_file();
    names.split('\0').filter(there).map(str::to_owned).collect()
}

/// Our text files. What came from elsewhere is kept as it came.
fn files() -> Vec<File> {
    let read = |path: String| {
        let text = String::from_utf8(std::fs::read(root().join(&path)).unwrap()).ok()?;
        Some(File { path, text })
    };
    let ours = |path: &String| !path.ends_with(".log") && path != "LICENSE";
    git_files().into_iter().filter(ours).filter_map(read).collect()
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

const LINES_MAX: usize = 500;

fn too_long(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.ends_in(&["rs"]) && file.text.lines().count() > LINES_MAX)
        .map(|file| format!("{}: over {LINES_MAX} lines; which noun wants out?", file.path))
        .collect()
}

fn unfinished(files: &[File]) -> Vec<String> {
    // Written apart, so that this file passes.
    let macros = [concat!("to", "do!"), concat!("unimplemen", "ted!"), concat!("db", "g!")];
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.ends_in(&["rs"])) {
        for (place, line) in file.lines() {
            for found in macros.iter().filter(|name| has_word(line, name)) {
                complaints.push(format!("{place}: `{found}` is unfinished work"));
            }
        }
    }
    complaints
}

/// Whether `word` stands in `text` with nothing word-like before it.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn machine_paths(files: &[File]) -> Vec<String> {
    let folders = [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me")];
    let mut complaints = Vec::new();
    for file in files {
        for (place, line) in file.lines() {
            for folder in folders.iter().filter(|folder| has_folder(line, folder)) {
                complaints.push(format!("{place}: `{folder}` is a path of one machine"));
            }
        }
    }
    complaints
}

/// Whether an absolute path that begins with `folder` stands in `text`.
fn has_folder(text: &str, folder: &str) -> bool {
    let wordy = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_-./~}*".contains(c));
    text.match_indices(folder).any(|(at, _)| {
        let after = text[at + folder.len()..].chars().next();
        !wordy(text[..at].chars().next_back()) && (after == Some('/') || !wordy(after))
    })
}

fn untidy_space(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (place, line) in file.lines() {
            if line.contains('\t') {
                complaints.push(format!("{place}: a tab"));
            }
            if line.ends_with([' ', '\r']) {
                complaints.push(format!("{place}: white space at the end of the line"));
            }
        }
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            complaints.push(format!("{}: does not end in one newline", file.path));
        }
    }
    complaints
}

/// A crate's folder, manifest and root.
fn crates(files: &[File]) -> impl Iterator<Item = (&File, Option<&File>)> {
    let manifests = files.iter().filter(|file| {
        file.path.ends_with("Cargo.toml") && file.text.lines().any(|line| line == "[package]")
    });
    manifests.map(|manifest| {
        let folder = manifest.path.strip_suffix("Cargo.toml").unwrap();
        let find = |name: &str| files.iter().find(|file| file.path == format!("{folder}{name}"));
        (manifest, find("src/lib.rs").or_else(|| find("src/main.rs")))
    })
}

fn undescribed_crates(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (manifest, root) in crates(files) {
        let first = root.map_or("", |root| root.text.as_str());
        let docs: String = first.lines().take_while(|line| line.starts_with("//!")).collect();
        for list in ["*Does:*", "*Does not:*"] {
            if !docs.contains(list) {
                let path = root.map_or(&manifest.path, |root| &root.path);
                complaints.push(format!("{path}: the first doc comment has no {list}"));
            }
        }
    }
    complaints
}

fn unlinted_crates(files: &[File]) -> Vec<String> {
    let shares = |text: &str| text.contains("[lints]\nworkspace = true\n");
    // A crate that must differ restates the lints, and says why just above.
    let restates = |text: &str| {
        let lines: Vec<_> = text.lines().collect();
        lines.windows(2).any(|two| two[0].starts_with('#') && two[1].starts_with("[lints."))
    };
    crates(files)
        .filter(|(manifest, _)| !shares(&manifest.text) && !restates(&manifest.text))
        .map(|(manifest, _)| format!("{}: no `[lints] workspace = true`", manifest.path))
        .collect()
}

fn built_files(paths: &[String]) -> Vec<String> {
    let built = [".wasm", ".cwasm", ".o", ".so", ".pyc"];
    let is_built = |path: &&String| built.iter().any(|end| path.ends_with(end));
    let complain = |path: &String| format!("{path}: is built; let the build make it");
    paths.iter().filter(is_built).map(complain).collect()
}

#[test]
fn no_source_file_is_too_long() {
    none(too_long(&files()));
}

#[test]
fn nothing_is_left_unfinished() {
    none(unfinished(&files()));
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    none(machine_paths(&files()));
}

#[test]
fn white_space_is_tidy() {
    none(untidy_space(&files()));
}

#[test]
fn every_crate_says_what_it_does_and_does_not() {
    assert!(crates(&files()).count() > 4);
    none(undescribed_crates(&files()));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    none(unlinted_crates(&files()));
}

#[test]
fn nothing_built_is_checked_in() {
    none(built_files(&git_files()));
}

/// The rules above hold today; these show that each would notice.
mod would_notice {
    use super::*;

    pub(crate) fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn each(rule: fn(&[File]) -> Vec<String>, path: &str, bad: &[&str], good: &[&str]) {
        for text in bad {
            assert_eq!(rule(&[file(path, text)]).len(), 1, "{text:?} is bad");
        }
        for text in good {
            assert_eq!(rule(&[file(path, text)]), [""; 0], "{text:?} is good");
        }
    }

    #[test]
    fn a_long_file() {
        each(too_long, "a.rs", &[&"x\n".repeat(501)], &[&"x\n".repeat(500)]);
        each(too_long, "a.md", &[], &[&"x\n".repeat(501)]);
    }

    #[test]
    fn unfinished_work() {
        let bad = concat!("    to", "do!(\"later\")");
        each(unfinished, "a.rs", &[bad], &["// a todo list", "mastodo!()"]);
    }

    #[test]
    fn a_machines_path() {
        let home = concat!("see /ho", "me/x");
        let bare = concat!("`/ro", "ot`");
        let good = [
            "edge/worker",
            concat!("a/wo", "rk/b"),
            concat!("/wo", "rkers"),
            concat!("https://example.com/ho", "me/page"),
            concat!("../wo", "rk"),
        ];
        each(machine_paths, "a.md", &[home, bare], &good);
    }

    #[test]
    fn untidy_white_space() {
        let bad = ["a\tb\n", "a \n", "a\r\n", "a", "a\n\n"];
        each(untidy_space, "a.toml", &bad, &["", "a b\n\nc\n"]);
    }

    #[test]
    fn a_crate_that_does_not_say_what_it_does() {
        let manifest = file("a/Cargo.toml", "[package]\n");
        let with = |root: &str| undescribed_crates(&[manifest.clone(), file("a/src/lib.rs", root)]);
        assert_eq!(with("//! *Does:* x.\n//! *Does not:* y.\nmod z;\n"), [""; 0]);
        assert_eq!(with("//! *Does:* x.\n").len(), 1);
        assert_eq!(with("mod z;\n//! *Does:* x. *Does not:* y.\n").len(), 2);
        assert_eq!(undescribed_crates(&[manifest]).len(), 2);
    }

    #[test]
    fn a_crate_without_the_lints() {
        let good = [
            "[package]\n[lints]\nworkspace = true\n",
            "[package]\n# Exports need `no_mangle`.\n[lints.rust]\nunsafe_code = \"deny\"\n",
            "[workspace]\n",
        ];
        let bad = ["[package]\n", "[package]\n\n[lints.rust]\nunsafe_code = \"allow\"\n"];
        each(unlinted_crates, "a/Cargo.toml", &bad, &good);
    }

    #[test]
    fn a_built_file() {
        assert_eq!(built_files(&["a.wasm".to_owned(), "a.wat".to_owned()]).len(), 1);
    }
}
