//! What changes shape between the engine and JavaScript, each way.

use std::cell::RefCell;

use crossfade_core::protocol::json::read;
#[cfg(feature = "engine")]
use js_sys::Number;
use js_sys::{Error, JsString, Reflect};
use serde::Serialize;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

/// A message's fields, in the order in which the engine wrote them.
pub(crate) type Body = Map<String, Value>;

/// The engine's seed from a JavaScript number.
///
/// # Errors
/// A thrown error unless it is an integer that a number holds exactly.
#[cfg(feature = "engine")]
pub(crate) fn seed(seed: f64) -> Result<u64, JsValue> {
    if (0.0..=Number::MAX_SAFE_INTEGER).contains(&seed) && seed.fract() == 0.0 {
        return Ok(seed as u64);
    }
    Err(error("`seed` must be an integer from 0 to Number.MAX_SAFE_INTEGER"))
}

/// The engine's output as a string. The engine writes JSON, which is UTF-8 throughout;
/// should it ever not be, a reader learns more from a replaced character than from an
/// exception.
pub(crate) fn text(out: Vec<u8>) -> String {
    String::from_utf8(out)
        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned())
}

/// The fields of the engine's one answer, without what belongs to the exchange.
///
/// # Errors
/// The answer as a thrown error when it is a refusal.
#[cfg(feature = "engine")]
pub(crate) fn body(out: Vec<u8>) -> Result<Body, JsValue> {
    let Some(mut body) = parse(&out) else { return Err(refusal(out)) };
    if body.get("type").is_some_and(|kind| kind == "error") {
        return Err(refusal(out));
    }
    body.shift_remove("type");
    body.shift_remove("in_reply_to");
    Ok(body)
}

/// An `Error` out of an answer that refuses: its `message` is the engine's text, its
/// `line` the whole answer.
pub(crate) fn refusal(out: Vec<u8>) -> JsValue {
    let said = parse(&out)
        .and_then(|body| body.get("text").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_else(|| "the engine gave an unexpected answer; see `line`".to_owned());
    let error = Error::new(&said);
    // `set` fails only on frozen objects and proxies, and this one is new and plain.
    let _ = Reflect::set(&error, &"line".into(), &JsString::from(text(out)));
    error.into()
}

/// An `Error` with this message.
pub(crate) fn error(message: &str) -> JsValue {
    Error::new(message).into()
}

/// A plain JavaScript object.
pub(crate) fn to_js(value: &impl Serialize) -> Result<JsValue, JsValue> {
    // `json_compatible`: objects rather than `Map`s.
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|cause| error(&cause.to_string()))
}

/// The names of a policy's versions in the order of their indices, from the `versions`
/// of its document: a list, or `{from, to}`. Nothing else has names: an empty list.
#[cfg(feature = "engine")]
pub(crate) fn version_names(config: &Body) -> Vec<String> {
    let versions = config.get("document").and_then(|document| document.get("versions"));
    let names: Vec<&Value> = match versions {
        Some(Value::Array(names)) => names.iter().collect(),
        Some(Value::Object(pair)) => ["from", "to"].iter().filter_map(|k| pair.get(*k)).collect(),
        _ => Vec::new(),
    };
    names.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The body of the first line, in its envelope or bare.
fn parse(out: &[u8]) -> Option<Body> {
    let line = out.split(|byte| *byte == b'\n').next()?;
    let mut message: Body = read(line).ok()?;
    match message.remove("body") {
        Some(Value::Object(body)) => Some(body),
        _ => Some(message),
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic aborts, which JavaScript sees as an "unreachable" without words; keeps the
/// words for [`last_panic`].
pub(crate) fn keep_panic_messages() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|panic| {
            // Held only if writing the last message panicked; then that one stays.
            if let Ok(mut panic) = panic.try_borrow_mut() {
                *panic = Some(info.to_string());
            }
        });
    }));
}

/// What [`keep_panic_messages`] kept.
pub(crate) fn last_panic() -> Option<String> {
    PANIC.with(|panic| panic.borrow().clone())
}
