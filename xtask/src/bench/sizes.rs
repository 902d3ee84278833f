//! How large things are. Tests hold these limits; here they stand beside the rest.

use std::path::Path;

use super::table::{Limit, Row};
use crate::command::{TaskError, root};

/// Sizes of what has been built; what has not is left out.
pub(super) fn rows() -> Result<Vec<Row>, TaskError> {
    let kb = |bytes: u64| bytes as f64 / 1000.0;
    let filter = std::fs::metadata(root().join("edge/envoy/crossfade_envoy.wasm"));
    let mut rows = Vec::new();
    if let Ok(filter) = filter {
        rows.push(Row::new("Envoy filter", kb(filter.len()), "KB", Limit::None));
    }
    let page = weight(&root().join("web/page/dist"))?;
    if page > 0 {
        rows.push(Row::new("page without fonts", kb(page), "KB brotli", Limit::AtMost(300.0)));
    }
    Ok(rows)
}

/// Bytes of the compressed files in a folder and those below it.
fn weight(folder: &Path) -> Result<u64, TaskError> {
    let read = |source| TaskError::Read { path: folder.display().to_string(), source };
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(0) };
    let mut bytes = 0;
    for entry in entries {
        let path = entry.map_err(read)?.path();
        if path.is_dir() {
            bytes += weight(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "br") {
            bytes += path.metadata().map_err(read)?.len();
        }
    }
    Ok(bytes)
}
