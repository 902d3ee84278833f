//! The token that a server is shown, and where it came from. It is never printed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::address::Address;
use crate::exit::{Exit, Failure};

/// Where a token is looked for when no file is named.
pub(super) const VARIABLE: &str = "CROSSFADE_TOKEN";

/// Where `crossfade serve` leaves its operator's token, seen from where it was started.
pub(super) const DEFAULT_FILE: &str = "./crossfade-data/operator.token";

/// Longer than any token; a file that is longer is none.
const TOKEN_BYTES_MAX: u64 = 4096;

/// A token, if there is one.
#[derive(Clone)]
pub(super) struct Token {
    secret: Option<String>,
    /// What is said of it in messages.
    source: String,
}

impl Token {
    /// Looks in the file named, else in the environment, else, for a server on this
    /// machine, where `crossfade serve` leaves one.
    ///
    /// # Errors
    /// A file that was named cannot be read; what was found is no token.
    pub(super) fn find(file: Option<&Path>, server: &Address) -> Result<Token, Failure> {
        if let Some(path) = file {
            return Token::of_file(path);
        }
        if let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            return Token::of_text(&value.to_string_lossy(), format!("{VARIABLE} (environment)"));
        }
        let default = PathBuf::from(DEFAULT_FILE);
        // The token of this machine's server is no other server's business.
        if server.is_loopback() && default.is_file() {
            return Token::of_file(&default);
        }
        Ok(Token::none())
    }

    /// No token.
    pub(super) fn none() -> Token {
        Token { secret: None, source: String::new() }
    }

    fn of_file(path: &Path) -> Result<Token, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Io, format!("cannot read the token in {}: {error}", path.display()))
        };
        let mut text = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(TOKEN_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
        Token::of_text(&String::from_utf8_lossy(&text), path.display().to_string())
    }

    pub(super) fn of_text(text: &str, source: String) -> Result<Token, Failure> {
        let secret = text.trim();
        let is_token = !secret.is_empty()
            && secret.len() as u64 <= TOKEN_BYTES_MAX
            && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token {
            let text = format!("{source} holds no token: one word of visible ASCII is expected");
            return Err(Failure::new(Exit::Data, text));
        }
        Ok(Token { secret: Some(secret.to_owned()), source })
    }

    /// The value of the `authorization` header.
    pub(super) fn header(&self) -> Option<String> {
        self.secret.as_ref().map(|secret| format!("Bearer {secret}"))
    }

    /// Where it came from; `None` when there is none.
    pub(super) fn source(&self) -> Option<&str> {
        self.secret.as_ref().map(|_| self.source.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("source", &self.source()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_not_printed() {
        let token = Token::of_text("  s3cret/+=\n", "file".into()).unwrap();
        assert_eq!(token.header().as_deref(), Some("Bearer s3cret/+="));
        assert!(!format!("{token:?}").contains("s3cret"));
        let long = "x".repeat(TOKEN_BYTES_MAX as usize + 1);
        for text in ["", " \n", "two words", "line\nline", "caf\u{e9}", long.as_str()] {
            let failure = Token::of_text(text, "a.token".into()).unwrap_err();
            assert_eq!(failure.exit, Exit::Data, "{text:?}");
            assert!(failure.message.starts_with("a.token holds no token"), "{failure}");
            assert!(!failure.message.contains("two"), "{failure}");
        }
    }
}
