//! Finds `rollout.steps[1].percentage` among the nodes.

use super::build::{Children, Node};

/// The node at the path, or the nearest parent that exists; `None` for what is no path.
pub(super) fn find<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    walk(root, path).map(|(node, _)| node)
}

/// The node at the path itself.
pub(super) fn find_exactly<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    walk(root, path).and_then(|(node, rest)| rest.is_empty().then_some(node))
}

/// The deepest node on the path, and the part of the path that leads on from it.
fn walk<'a, 'p>(root: &'a Node, path: &'p str) -> Option<(&'a Node, &'p str)> {
    let mut node = root;
    let mut rest = path;
    while !rest.is_empty() {
        let next = match &node.children {
            Children::None => None,
            Children::Items(items) => {
                let (index, after) = index(rest)?;
                items.get(index).map(|item| (item, after))
            }
            Children::Fields(fields) => match quoted(rest)? {
                Some((name, after)) => {
                    fields.iter().find(|(key, _)| *key == name).map(|(_, node)| (node, after))
                }
                None => plain(fields, rest),
            },
        };
        let Some((child, after)) = next else { break };
        node = child;
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    Some((node, rest))
}

/// `[3]…`: 3. `None` for an unclosed bracket; a name where an index should be leads
/// nowhere (`usize::MAX` is in no list).
fn index(rest: &str) -> Option<(usize, &str)> {
    match rest.strip_prefix('[') {
        Some(inside) => {
            let (number, after) = inside.split_once(']')?;
            Some((number.parse().unwrap_or(usize::MAX), after))
        }
        None => Some((usize::MAX, rest)),
    }
}

/// `["a.b"]…`: the name. `Some(None)` when the path goes on without quotes.
fn quoted(rest: &str) -> Option<Option<(String, &str)>> {
    let Some(inside) = rest.strip_prefix('[') else { return Some(None) };
    let mut names = serde_json::Deserializer::from_str(inside).into_iter::<String>();
    let Some(Ok(name)) = names.next() else {
        // An index into a mapping leads nowhere; only an unclosed bracket is no path.
        return inside.contains(']').then_some(None);
    };
    let after = inside.get(names.byte_offset()..)?.strip_prefix(']')?;
    Some(Some((name, after)))
}

/// The longest key that the path starts with: keys may hold dots themselves.
fn plain<'a, 'p>(fields: &'a [(String, Node)], rest: &'p str) -> Option<(&'a Node, &'p str)> {
    fields
        .iter()
        .filter_map(|(key, node)| {
            let after = rest.strip_prefix(key.as_str())?;
            let ends = after.is_empty() || after.starts_with(['.', '[']);
            ends.then_some((key.len(), node, after))
        })
        .max_by_key(|(length, ..)| *length)
        .map(|(_, node, after)| (node, after))
}
