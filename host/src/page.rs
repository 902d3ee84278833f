//! The page, out of the program: what a browser loads from `crossfade ui` and from
//! `crossfade serve`.
//!
//! *Does:* serve the files of `web/page/dist`, or a page that says how to build them, with
//! the headers that make a browser load nothing from anywhere else.
//!
//! *Does not:* know what the page does; it is files.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
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
    let (name, found) = ("index.html", Files::get("index.html"));
    match (found, about.meta()) {
        (Some(mut found), Some(meta)) => {
            let tag = tag(&found, &format!("-{about:?}"));
            let html = String::from_utf8_lossy(&found.data);
            let html = html.replacen("<head>", &format!("<head>\n    {meta}"), 1);
            found.data = html.into_bytes().into();
            answer(name, found, tag, asked)
        }
        (found, _) => whole(name, found, asked),
    }
}

fn file(path: &str, asked: &HeaderMap) -> Response {
    whole(path, Files::get(path), asked)
}

fn whole(path: &str, found: Option<EmbeddedFile>, asked: &HeaderMap) -> Response {
    match found {
        Some(found) => {
            let tag = tag(&found, "");
            answer(path, found, tag, asked)
        }
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
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
