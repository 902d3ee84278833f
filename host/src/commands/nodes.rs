//! `crossfade nodes`.

use serde::Deserialize;

use crate::client::ServerArgs;
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};
use crate::replay::{grouped, text};
use crate::tables::{self, table};
use crate::units;

/// List the nodes that report, and the policy that each of them runs on.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(crate) struct Args {
    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    node: String,
    epoch: String,
    sequence: u64,
    revision: u64,
    /// `None`: not since the server was started.
    age_ms: Option<u64>,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let answer = client.get("/v1/nodes")?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let nodes: Nodes = client.read(answer)?;
                print(&nodes.text())?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Nodes {
    fn text(&self) -> String {
        if self.nodes.is_empty() {
            return "no node has reported\n".to_owned();
        }
        let newest = self.nodes.iter().map(|node| node.revision).max().unwrap_or(0);
        let rows = self.nodes.iter().map(|node| {
            let behind = if node.revision < newest { " (behind)" } else { "" };
            [
                text::shown(node.node.as_bytes(), 30),
                text::shown(node.epoch.as_bytes(), 16),
                grouped(node.sequence),
                format!("{}{behind}", node.revision),
                node.age_ms.map_or("before the start".to_owned(), units::span),
            ]
        });
        let mut out = String::new();
        let header = ["Node", "Epoch", "Reports", "Revision", "Last report"];
        tables::write(&mut out, &table(header, rows));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_is_said() {
        let node = |name: &str, revision, age_ms| Node {
            node: name.into(),
            epoch: "a1".into(),
            sequence: 7,
            revision,
            age_ms,
        };
        let nodes = Nodes { nodes: vec![node("edge-1", 12, Some(1200)), node("edge-2", 11, None)] };
        let text = nodes.text();
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert!(rows[0].contains("edge-1") && rows[0].ends_with("1 s"), "{text}");
        assert!(rows[1].contains("11 (behind)") && rows[1].ends_with("before the start"), "{text}");
    }
}
