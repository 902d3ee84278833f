//! The page, out of the program: what a browser loads from `crossfade ui` and from
//! `crossfade serve`.
//!
//! *Does:* serve the files of `web/page/dist`, or a page that says how to build them, with
//! the headers that make a browser load nothing from anywhere else.
//!
//! *Does not:* know what the page does; it is files.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

/// `web/page/dist` where it was built before the host, else `host/placeholder`
/// (`host/build.rs` chooses). A debug build reads the files as they are now.
#[derive(RustEmbed)]
#[folder = "$CROSSFADE_PAGE_DIR"]
struct Files;

/// Scripts, styles and workers of the page itself, WebAssembly, and nothing else: no
/// inline script or style, no other host.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page is about, which it learns from a `meta` element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Rehearsals in the browser.
    Rehearsals,
    /// The migration that the server it comes from runs, open to whoever can reach it.
    Migration,
    /// The same, for who has a token: the page asks for one before anything else.
    GuardedMigration,
}

impl About {
    fn meta(self) -> Option<&'static str> {
        match self {
            About::Rehearsals => None,
            About::Migration => Some("<meta name=\"crossfade\" content=\"live\" />"),
            About::GuardedMigration => Some("<meta name=\"crossfade\" content=\"live token\" />"),
        }
    }
}

/// The page's routes, to be served alone or beside others.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(about: About) -> Router<S> {
    Router::new()
        .route("/", get(async move |headers: HeaderMap| index(about, &headers)))
        .route("/index.html", get(async move |headers: HeaderMap| index(about, &headers)))
        .route("/icon.svg", get(async |headers: HeaderMap| file("icon.svg", &headers)))
        .route(
            "/placeholder.css",
            get(async |headers: HeaderMap| file("placeholder.css", &headers)),
        )
        .route(
            "/assets/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| {
                // A name may hold an encoded slash, and lead anywhere.
                let name = if name.contains('/') { "" } else { &name };
                file(&format!("assets/{name}"), &headers)
            }),
        )
}

/// Whether the page was built before this program was.
pub(crate) fn is_built() -> bool {
    Files::get("icon.svg").is_some()
}

fn index(about: About, asked: &HeaderMap) -> Response {
    let name = "index.html";
    match (Files::get(name), about.meta()) {
        (Some(mut found), Some(meta)) => {
            let tag = tag(&found, &format!("-{about:?}"));
            let html = String::from_utf8_lossy(&found.data);
            let html = html.replacen("<head>", &format!("<head>\n    {meta}"), 1);
            found.data = html.into_bytes().into();
            answer(name, found, tag, asked)
        }
        _ => file(name, asked),
    }
}

/// A file as it is, or its compressed twin for whoever takes it.
fn file(path: &str, asked: &HeaderMap) -> Response {
    let Some(plain) = Files::get(path) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let twin = Files::get(&format!("{path}.br"));
    let is_twofold = twin.is_some();
    let twin = twin.filter(|_| takes_brotli(asked));
    let is_twin = twin.is_some();
    let found = twin.unwrap_or(plain);
    let tag = tag(&found, "");
    let mut response = answer(path, found, tag, asked);
    if is_twofold {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if is_twin {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    response
}

/// Whether `accept-encoding` names brotli, and does not refuse it with a quality of 0.
fn takes_brotli(asked: &HeaderMap) -> bool {
    let fields = asked.get_all(header::ACCEPT_ENCODING).iter();
    let codings = fields.filter_map(|field| field.to_str().ok()).flat_map(|all| all.split(','));
    codings.map(|coding| coding.split_once(';').unwrap_or((coding, ""))).any(|(name, quality)| {
        let quality = quality.trim().strip_prefix("q=").unwrap_or("1").trim();
        name.trim().eq_ignore_ascii_case("br") && quality.parse().is_ok_and(|q: f32| q > 0.0)
    })
}

fn answer(path: &str, found: EmbeddedFile, tag: String, asked: &HeaderMap) -> Response {
    // Names under `assets` change with what is in them.
    let cached = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let headers: [(HeaderName, String); 6] = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, cached.to_owned()),
        (header::CONTENT_TYPE, kind(path).to_owned()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    let known = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, found.data).into_response()
}

/// The file's hash, shortened, and what it was made into: an opaque tag.
fn tag(file: &EmbeddedFile, made: &str) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}{made}\"")
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_is_sent_to_whoever_takes_it() {
        let takes = |field: &str| {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, field.parse().unwrap());
            takes_brotli(&asked)
        };
        for yes in ["br", "gzip, deflate, br, zstd", "gzip;q=1.0, BR; q=0.5", "br;q=1"] {
            assert!(takes(yes), "{yes}");
        }
        for no in ["", "gzip", "br;q=0", "br; q=0.000", "brotli", "*"] {
            assert!(!takes(no), "{no}");
        }
        assert!(!takes_brotli(&HeaderMap::new()));
    }
}
