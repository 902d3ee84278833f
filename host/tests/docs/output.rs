//! Whether commands printed what a page shows.

/// `…` in a line stands for anything in it, and alone in a line for any number of lines.
///
/// # Errors
/// The first line of the page that was not printed there.
pub(crate) fn compare(shown: &str, printed: &str) -> Result<(), String> {
    let shown: Vec<_> = shown.lines().map(str::trim_end).collect();
    let printed: Vec<_> = printed.trim_end().lines().map(str::trim_end).collect();
    if lines(&shown, &printed) {
        return Ok(());
    }
    // Begins as shown up to there, and goes on somehow.
    let begins = |len: &usize| lines(&[&shown[..*len], &["…"]].concat(), &printed);
    let len = (0..shown.len()).take_while(begins).last().unwrap_or_default();
    Err(shown.get(len).map_or_else(|| "its end".to_owned(), |line| (*line).to_owned()))
}

fn lines(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        ([first, rest @ ..], _) if first.trim() == "…" => {
            (0..=printed.len()).any(|skipped| lines(rest, &printed[skipped..]))
        }
        ([first, rest @ ..], [found, more @ ..]) => line(first, found) && lines(rest, more),
        _ => false,
    }
}

fn line(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(printed) = printed.strip_prefix(start) else { return false };
    let mut places = printed.char_indices().map(|(at, _)| at).chain([printed.len()]);
    places.any(|at| line(rest, &printed[at..]))
}
