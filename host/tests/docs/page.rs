//! The blocks of a page.

/// What is done with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Commands that end with this exit code.
    Commands { exit: i32 },
    /// Commands of which the last goes on, and listens on this port.
    Server { port: u16 },
    /// What the commands before it have printed.
    Output,
    /// A plan document.
    Plan,
    /// What is in a file of the repository.
    File,
    /// To be looked at.
    Shown,
}

impl Kind {
    pub(crate) fn is_played(self) -> bool {
        self != Kind::Shown
    }
}

/// One block, or a comment with setup.
#[derive(Debug)]
pub(crate) struct Block {
    /// Of the page, from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) edge: bool,
    /// The file, for [`Kind::File`].
    pub(crate) file: String,
    pub(crate) text: String,
}

/// Languages that are shown. `exchange` is played by `tests/tests/protocol_docs.rs`, `js`
/// by the tests of the pages it is in, `rust` by rustdoc.
const SHOWN: [&str; 14] = [
    "text",
    "json",
    "yaml",
    "toml",
    "ini",
    "js",
    "rust",
    "rust,no_run",
    "exchange",
    "capnp",
    "conf",
    "dockerfile",
    "promql",
    "http",
];

/// All blocks of a page in order, or every block that says nothing of itself.
pub(crate) fn blocks(text: &str) -> Result<Vec<Block>, Vec<String>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut complaints = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if let Some(setup) = line.strip_prefix("<!-- setup: ") {
            let text = setup.strip_suffix(" -->").unwrap_or_default().to_owned();
            if text.is_empty() {
                complaints.push(format!("{number}: setup is one line, `<!-- setup: … -->`"));
            }
            let kind = Kind::Commands { exit: 0 };
            blocks.push(Block { line: number, kind, edge: false, file: String::new(), text });
        }
        let indent = line.len() - line.trim_start().len();
        let Some(mark) = line.trim_start().strip_prefix("```") else { continue };
        let mut text = String::new();
        let mut ended = false;
        for (line, _) in lines.by_ref() {
            if line.trim() == "```" {
                ended = true;
                break;
            }
            text += line.get(indent..).unwrap_or_default();
            text.push('\n');
        }
        if !ended {
            complaints.push(format!("{number}: the block has no end"));
        }
        let file = mark.split_whitespace().find_map(|word| word.strip_prefix("file="));
        let file = file.unwrap_or_default().to_owned();
        match kind(mark, &blocks) {
            Ok((kind, edge)) => blocks.push(Block { line: number, kind, edge, file, text }),
            Err(why) => complaints.push(format!("{number}: {why}")),
        }
    }
    if complaints.is_empty() { Ok(blocks) } else { Err(complaints) }
}

fn kind(mark: &str, before: &[Block]) -> Result<(Kind, bool), String> {
    let mut words = mark.split_whitespace();
    let Some(language) = words.next() else {
        return Err("a block without a language: `sh` is executed, `text` is not".to_owned());
    };
    let mut kind = match language {
        "sh" => Kind::Commands { exit: 0 },
        shown if SHOWN.contains(&shown) => Kind::Shown,
        other => return Err(format!("`{other}` is no language that is known here: {SHOWN:?}, sh")),
    };
    let mut edge = false;
    for word in words {
        match (language, word.split_once('=').unwrap_or((word, ""))) {
            ("sh", ("exit", code)) if code.parse::<i32>().is_ok() => {
                kind = Kind::Commands { exit: code.parse().unwrap_or_default() };
            }
            ("sh", ("listens", port)) if port.parse::<u16>().is_ok() => {
                kind = Kind::Server { port: port.parse().unwrap_or_default() };
            }
            ("sh", ("edge", "")) => edge = true,
            ("yaml", ("plan", "")) => kind = Kind::Plan,
            (_, ("file", path)) if kind == Kind::Shown && !path.is_empty() => kind = Kind::File,
            // Continues an exchange, which is not ours.
            ("exchange", _) => {}
            (_, ("output", "")) if kind == Kind::Shown => {
                kind = Kind::Output;
                let of = before.iter().rev().find(|block| block.kind != Kind::Output);
                match of.filter(|block| matches!(block.kind, Kind::Commands { .. })) {
                    Some(commands) => edge = commands.edge,
                    None => return Err("output of nothing: no commands before it".to_owned()),
                }
            }
            _ => return Err(format!("`{word}` says nothing here")),
        }
    }
    Ok((kind, edge))
}
