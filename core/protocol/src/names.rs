//! Names in sentences, and sentences without them.

/// What stands where a name stood.
pub const FORGOTTEN: &str = "(forgotten)";

/// This text without a name in it, or `None` where it was not there. `ann` is not in
/// `planned`, nor in `ann_b`; letters beyond ASCII do not make a longer word of it.
pub fn without(text: &str, name: &str) -> Option<String> {
    let part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let (bytes, name) = (text.as_bytes(), name.as_bytes());
    let (first, last) = (part(name.first()), part(name.last()));
    let (mut scrubbed, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= name.len()) {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let is_longer = first && part(before) || last && part(rest.get(name.len()));
        if is_longer || name.is_empty() || !rest.starts_with(name) {
            at += 1;
            continue;
        }
        scrubbed.push_str(text.get(kept..at)?);
        scrubbed.push_str(FORGOTTEN);
        at += name.len();
        kept = at;
    }
    if kept == 0 {
        return None;
    }
    scrubbed.push_str(text.get(kept..)?);
    Some(scrubbed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_taken_out() {
        let check = |text: &str, name: &str, expected: Option<&str>| {
            assert_eq!(without(text, name).as_deref(), expected, "{name} in {text}");
        };
        let expected = "(forgotten) fails, and `(forgotten)` stays; planned anna (forgotten)";
        check("ann fails, and `ann` stays; planned anna ann", "ann", Some(expected));
        check("planned", "ann", None);
        check("ann_b joann", "ann", None);
        check("ann", "ann", Some(FORGOTTEN));
        check("", "ann", None);
        check("ann", "", None);
        check("call +49 or a+49", "+49", Some("call (forgotten) or a(forgotten)"));
        check("ask a.b, not a.bc", "a.b", Some("ask (forgotten), not a.bc"));
        check("Grüße an änn: «änn»", "änn", Some("Grüße an (forgotten): «(forgotten)»"));
    }
}
