//! Cookies: one value out of a `cookie` header.

/// The value of the cookie of this name, without the quotes around it.
///
/// Cookies stand as `name=value`, with `;` between them (RFC 6265, 4.2.1); names are
/// compared byte by byte. A name that is there twice has no value: browsers and servers
/// differ on which would count.
pub(crate) fn find<'h>(header: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let mut found = None;
    for pair in header.split(|byte| *byte == b';') {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (this, value) = pair.split_at(equals);
        if this.trim_ascii() != name {
            continue;
        }
        if found.is_some() {
            return None;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        found = Some(quoted.unwrap_or(value));
    }
    found
}
