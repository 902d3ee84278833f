//! Links between our own pages lead somewhere, and every page under `docs` is found.

use std::collections::{BTreeSet, HashMap};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{File, files, git_files, none};

/// What a page links to and can be linked at.
#[derive(Debug, Default)]
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

fn page(text: &str) -> Page {
    let mut page = Page::default();
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let times = taken.entry(slug.clone()).or_insert(0);
                page.anchors.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
                *times += 1;
            }
            _ => {}
        }
    }
    page
}

/// A heading's anchor as forges make it.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The path that `link` means on the page at `from`, without `.` and `..`, or `None`
/// when it leads out of the repository's files.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn pages(files: &[File]) -> Vec<(&str, Page)> {
    let markdown = files.iter().filter(|file| file.ends_in(&["md"]));
    markdown.map(|file| (file.path.as_str(), page(&file.text))).collect()
}

fn dead_links(files: &[File], paths: &[String]) -> Vec<String> {
    let pages = pages(files);
    let there = |target: &str| {
        target.is_empty()
            || paths.iter().any(|path| {
                path.strip_prefix(target)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    let mut complaints = Vec::new();
    for (from, page) in &pages {
        for link in &page.links {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let Some(target) = resolve(from, file) else { continue };
            let linked = pages.iter().find(|(path, _)| *path == target);
            if !there(&target) {
                complaints.push(format!("{from}: `{link}` leads to no file"));
            } else if !anchor.is_empty()
                && linked.is_some_and(|(_, page)| !page.anchors.contains(anchor))
            {
                complaints.push(format!("{from}: `{link}` leads to no heading"));
            }
        }
    }
    complaints
}

/// Pages under `docs` that a reader who starts at the README never meets.
fn lost_pages(files: &[File]) -> Vec<String> {
    let pages = pages(files);
    let mut met = BTreeSet::from(["README.md".to_owned()]);
    let mut queue = vec!["README.md".to_owned()];
    while let Some(from) = queue.pop() {
        for (_, page) in pages.iter().filter(|(path, _)| *path == from) {
            let targets = page.links.iter().filter_map(|link| {
                resolve(&from, link.split_once('#').map_or(link.as_str(), |(file, _)| file))
            });
            queue.extend(targets.filter(|target| met.insert(target.clone())));
        }
    }
    pages
        .iter()
        .filter(|(path, _)| path.starts_with("docs/") && !met.contains(*path))
        .map(|(path, _)| format!("{path}: no link leads here from README.md"))
        .collect()
}

#[test]
fn every_local_link_leads_somewhere() {
    none(dead_links(&files(), &git_files()));
}

#[test]
fn every_page_under_docs_is_linked() {
    none(lost_pages(&files()));
}

mod would_notice {
    use super::*;
    use crate::would_notice::file;

    #[test]
    fn a_dead_link() {
        let pages = [
            file(
                "README.md",
                "[a](docs/a.md) [b](docs/a.md#the-end) [c](gone.md) [d](docs/a.md#nowhere)\n\
                 [e](docs/) [f][ref] [g](https://example.com/x.md) [h](#top) `[i](no.md)`\n\n\
                 [ref]: docs/none.md\n",
            ),
            file("docs/a.md", "# The *end*\n\n[up](../README.md) [self](#the-end)\n"),
        ];
        let paths = ["README.md".to_owned(), "docs/a.md".to_owned()];
        assert_eq!(
            dead_links(&pages, &paths),
            [
                "README.md: `gone.md` leads to no file",
                "README.md: `docs/a.md#nowhere` leads to no heading",
                "README.md: `docs/none.md` leads to no file",
                "README.md: `#top` leads to no heading",
            ]
        );
    }

    #[test]
    fn a_page_that_nobody_links() {
        let pages = [
            file("README.md", "[a](docs/a.md#x)\n"),
            file("docs/a.md", "[b](./b.md)\n"),
            file("docs/b.md", ""),
            file("docs/c.md", ""),
        ];
        assert_eq!(lost_pages(&pages), ["docs/c.md: no link leads here from README.md"]);
    }

    #[test]
    fn headings_become_the_anchors_that_forges_make() {
        let page = page("# `get_users`: which version?\n\n## Same\n\n## Same\n");
        let anchors: Vec<_> = page.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["get_users-which-version", "same", "same-1"]);
    }
}
