//! The tables of the README and of `docs/measured.md`.

use std::fs;

use crate::command::{TaskError, root, say};

const BEGIN: &str = "<!-- written by `cargo xtask bench --readme` -->\n";
const END: &str = "<!-- end of the table -->\n";

/// Puts a table between the marks of this page.
pub(super) fn write(page: &str, table: &str) -> Result<(), TaskError> {
    let path = root().join(page);
    let shown = path.display().to_string();
    let read = |source| TaskError::Read { path: shown.clone(), source };
    let text = fs::read_to_string(&path).map_err(read)?;
    let Some(text) = replaced(&text, table) else {
        say(&format!("{page} has no place for the table: the marks are gone"));
        return Ok(());
    };
    fs::write(&path, text).map_err(|source| TaskError::Write { path: shown, source })?;
    say(&format!("{page} has the table now"));
    Ok(())
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pages_have_a_place() {
        for page in ["README.md", "docs/measured.md"] {
            let text = fs::read_to_string(root().join(page)).expect("it is there");
            assert!(replaced(&text, "").is_some(), "{page}");
        }
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(replaced(&text, "new\n"), Some(format!("a\n{BEGIN}new\n{END}b\n")));
        assert_eq!(replaced("a\nb\n", "new\n"), None);
    }
}
