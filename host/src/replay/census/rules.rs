//! Which requests went to which version.

use regex::Regex;

use crate::replay::ReplayError;

/// Patterns as they are given in one option.
#[derive(Debug, Clone)]
pub struct Rules(Vec<(Pattern, String)>);

#[derive(Debug, Clone)]
enum Pattern {
    /// The text begins so.
    Prefix(String),
    /// It is found in it.
    Regex(Regex),
}

impl Rules {
    /// Reads `/v1/=v1,/v2/=v2`, or `~REGEX=VERSION`, which is one whatever commas are in it.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Rules, String> {
        if let Some(rest) = text.strip_prefix('~') {
            let (pattern, version) = split(rest)?;
            let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
            return Ok(Rules(vec![(Pattern::Regex(regex), version.to_owned())]));
        }
        let pairs = text.split(',').map(|pair| {
            let (pattern, version) = split(pair)?;
            if pattern.starts_with('~') {
                return Err(format!("`{pair}`: give a ~REGEX in an option of its own"));
            }
            Ok((Pattern::Prefix(pattern.to_owned()), version.to_owned()))
        });
        pairs.collect::<Result<_, _>>().map(Rules)
    }
}

impl Default for Rules {
    /// `/v1/=v1,/v2/=v2`
    fn default() -> Rules {
        let pair = |version: &str| (Pattern::Prefix(format!("/{version}/")), version.to_owned());
        Rules(vec![pair("v1"), pair("v2")])
    }
}

fn split(pair: &str) -> Result<(&str, &str), String> {
    let parts = pair.rsplit_once('=').map(|(pattern, version)| (pattern.trim(), version.trim()));
    parts
        .filter(|(pattern, version)| !pattern.is_empty() && !version.is_empty())
        .ok_or_else(|| format!("`{pair}` is not PATTERN=VERSION, such as /v1/=v1"))
}

/// The versions that are named, in the order in which they are: the oldest first.
///
/// # Errors
/// There are fewer than two.
pub(super) fn versions(rules: &[Rules]) -> Result<Vec<String>, ReplayError> {
    let mut versions: Vec<String> = Vec::new();
    for (_, version) in rules.iter().flat_map(|rules| &rules.0) {
        if !versions.contains(version) {
            versions.push(version.clone());
        }
    }
    if versions.len() < 2 {
        let text = "--version-of names one version: name the one that clients move to, too, as in \
                    --version-of '/v1/=v1,/v2/=v2'";
        return Err(ReplayError::Census(text.to_owned()));
    }
    Ok(versions)
}

/// All patterns, each with the place of its version.
pub(super) struct Patterns<'a>(Vec<(&'a Pattern, u8)>);

impl<'a> Patterns<'a> {
    pub(super) fn of(rules: &'a [Rules], versions: &[String]) -> Patterns<'a> {
        let place = |version: &String| {
            let place = versions.iter().position(|known| known == version);
            // All are known, and the engine takes 16 of them.
            place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
        };
        let all = rules.iter().flat_map(|rules| &rules.0);
        Patterns(all.map(|(pattern, version)| (pattern, place(version))).collect())
    }

    /// The version of the first pattern that fits.
    pub(super) fn find(&self, text: &str) -> Option<u8> {
        let path = path(text);
        let fits = |pattern: &Pattern| match pattern {
            Pattern::Prefix(prefix) => begins(path, prefix),
            Pattern::Regex(regex) => regex.is_match(path),
        };
        self.0.iter().find(|(pattern, _)| fits(pattern)).map(|(_, version)| *version)
    }
}

/// `/v1/` is also how `/v1` and `/v1?a` begin.
fn begins(text: &str, prefix: &str) -> bool {
    if text.starts_with(prefix) {
        return true;
    }
    let stem = prefix.strip_suffix('/').filter(|stem| !stem.is_empty());
    let rest = stem.and_then(|stem| text.strip_prefix(stem));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
}

/// What follows scheme and host, which proxies may log.
fn path(text: &str) -> &str {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return text;
    }
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_the_first_pattern_that_fits() {
        let rules = [
            Rules::read("/v1/=v1, /beta=v3").unwrap(),
            Rules::read("~^/api/(a|b),[0-9]=v2").unwrap(),
        ];
        let versions = versions(&rules).unwrap();
        assert_eq!(versions, ["v1", "v3", "v2"]);
        let patterns = Patterns::of(&rules, &versions);
        for (path, expected) in [
            ("/v1/users", Some(0)),
            ("/v1", Some(0)),
            ("/v1?a=/v2/", Some(0)),
            ("/v10/users", None),
            ("/betamax", Some(1)),
            ("/api/b,7", Some(2)),
            ("http://host:80/v1/x", Some(0)),
            ("http://host", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(patterns.find(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_wrong_with_patterns_is_named() {
        for (text, expected) in [
            ("/v1/", "`/v1/` is not PATTERN=VERSION"),
            ("/v1/=v1,=v2", "`=v2` is not PATTERN=VERSION"),
            ("/v1/=v1,~x=v2", "in an option of its own"),
            ("~(=v1", "unclosed group"),
        ] {
            let error = Rules::read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let one = [Rules::read("/v1/=v1").unwrap()];
        assert!(versions(&one).unwrap_err().to_string().contains("names one version"));
    }
}
