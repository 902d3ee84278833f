//! The parts about clients of the old version: what they are told, whom a brownout hits,
//! who they are, and when the old version may go.

use serde_json::{Value, json};

use super::control::{above_zero, fraction, instant, minutes};
use super::{count, described, name, object, share, text, words};
use crate::limits::{
    CLIENTS_MAX, CLIENTS_NATIVE_MAX, DAYS_MAX, IDENTITIES_MAX, KEY_BYTES_MAX, LISTED_CLIENTS_MAX,
    PINS_MAX,
};
use crate::plan::{Brownout, PinBack, SunsetPlan};

fn with_default(mut schema: Value, default: impl Into<Value>) -> Value {
    schema["default"] = default.into();
    schema
}

fn keys(description: &str, max: usize) -> Value {
    let mut key = text(KEY_BYTES_MAX);
    key["minLength"] = 1.into();
    json!({ "type": "array", "items": key, "maxItems": max, "description": description })
}

pub(super) fn deprecation() -> Value {
    let link = |description: &str, example: &str| {
        json!({
            "type": "string",
            "maxLength": KEY_BYTES_MAX,
            "pattern": "^https?://[!$-.0-;=@-~][!#-;=?-~]*$",
            "description": description,
            "examples": [example],
        })
    };
    let mut deprecation = object(
        json!({
            "deprecated_at": instant("When the old version became, or becomes, deprecated."),
            "sunset_at": instant("When it is switched off; not before `deprecated_at`."),
            "link": link("Where the migration is described.", "https://example.com/migrate"),
            "sunset_link": link("Where the sunset is explained.", "https://example.com/sunset"),
            "successor": link("Where the new version is: an origin, or an address.",
                "https://api.example.com"),
            "after": words("What a call gets after the sunset: 410, or 308 to the successor.",
                &["gone", "redirect"], "gone"),
        }),
        &["deprecated_at"],
    );
    deprecation["if"] =
        json!({ "required": ["after"], "properties": { "after": { "const": "redirect" } } });
    deprecation["then"] = json!({ "required": ["successor"] });
    described(deprecation, "What clients of the old version are told (RFC 9745, RFC 8594).")
}

pub(super) fn brownout() -> Value {
    let mut stop_when = object(
        json!({
            "clients": described(count(), "So many clients were refused."),
            "calls": described(count(), "So many calls were refused."),
        }),
        &[],
    );
    stop_when["anyOf"] = json!([{ "required": ["clients"] }, { "required": ["calls"] }]);
    let mut start = instant(
        "Its first moment. Without a zone it is a time in `time_zone`, which \
        `crossfade` reads, and the engine does not.",
    );
    start["pattern"] = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$".into();
    object(
        json!({
            "name": name("Its own: whom it hits depends on it. Absent: its start.", &["first"]),
            "start": start,
            "time_zone": name("Where the start is a time of day.", &["Europe/Berlin"]),
            "minutes": above_zero(minutes("How long it lasts.")),
            "percentage": described(share(), "Share of the old version's clients that is refused."),
            "status": { "type": "integer", "minimum": 400, "maximum": 599,
                "not": { "enum": Brownout::UNFIT.map(|(status, _)| status) },
                "default": Brownout::STATUS, "description": "What they get." },
            "exempt": keys("Keys that are spared.", PINS_MAX),
            "announce_minutes": with_default(
                minutes("How long before its start answers announce it."),
                Brownout::announced().minutes(),
            ),
            "stop_when": described(stop_when, "What stops it before its end."),
            "stopped_at": instant("When it was stopped."),
        }),
        &["start", "minutes", "percentage"],
    )
}

pub(super) fn clients() -> Value {
    let header = |description: &str, example: &str| {
        object(json!({ "header": name(description, &[example]) }), &["header"])
    };
    let identity = json!({
        "oneOf": [
            { "enum": ["mtls", "address"] },
            header("An API key: the value of this request header.", "x-api-key"),
            object(json!({ "jwt": name("A claim of the verified token.", &["sub"]) }), &["jwt"]),
        ],
    });
    let usual = PinBack::default();
    let pin_back = object(
        json!({
            "fdr": with_default(fraction("Of the clients that are taken back, the share that may \
                be without cause."), usual.fdr),
            "min_requests": with_default(
                described(count(), "Requests of a client before it is judged."),
                usual.min_requests,
            ),
            "mode": words("What is done for a client for whom the new version fails: nothing; it \
                is told; it is taken back.", &["off", "suggest", "auto"], "suggest"),
        }),
        &[],
    );
    let clients = object(
        json!({
            "limit": { "type": "integer", "minimum": 1, "maximum": CLIENTS_NATIVE_MAX,
                "default": CLIENTS_MAX, "description": "Clients of whom the controller keeps \
                everything; of more it keeps a sample." },
            "identity": { "type": "array", "maxItems": IDENTITIES_MAX, "items": identity,
                "uniqueItems": true, "description": "What stands for a client without a routing \
                key: the first that a request has." },
            "declare": described(
                header("A request header.", "x-api-migration"),
                "Where a client says that it is ready, or blocked.",
            ),
            "pin_back": described(pin_back, "When a client for whom the new version fails is \
                taken back."),
            "ready": keys("Keys that get the newest version as soon as anybody does.",
                LISTED_CLIENTS_MAX),
            "blocked": keys("Keys that get the newest version when everybody does.",
                LISTED_CLIENTS_MAX),
            "pinned_back": keys("Keys that were taken back to the stable version.",
                LISTED_CLIENTS_MAX),
        }),
        &[],
    );
    described(clients, "How clients are told apart, counted, and treated.")
}

pub(super) fn sunset() -> Value {
    let usual = SunsetPlan::default();
    let days = |description: &str, least: u32, default: u32| {
        json!({ "type": "integer", "minimum": least, "maximum": DAYS_MAX, "default": default,
            "description": description })
    };
    let sunset = object(
        json!({
            "confidence": { "type": "number", "minimum": 0.5, "exclusiveMaximum": 1,
                "default": usual.confidence, "description": "How sure one has to be." },
            "horizon_days": days("Clients that call again within so many days are taken into \
                account.", 1, usual.horizon_days),
            "quiet_days": days("Days without a call to an old version.", 0, usual.quiet_days),
            "notice_days": days("Days between the deprecation and the sunset.", 0,
                usual.notice_days),
            "at_most": { "type": "integer", "minimum": 0, "maximum": CLIENTS_NATIVE_MAX,
                "default": usual.at_most,
                "description": "Clients that may still depend on an old version." },
        }),
        &[],
    );
    described(sunset, "When the old version may go.")
}

pub(super) fn shadow() -> Value {
    let shadow = object(
        json!({
            "percentage": described(share(), "Share of the requests that are mirrored."),
            "methods": { "type": "array", "minItems": 1, "maxItems": 3,
                "items": { "enum": ["GET", "HEAD", "OPTIONS"] },
                "description": "Methods that are mirrored: those that change nothing." },
            "min_requests": with_default(
                described(count(), "Comparisons before anything is said."),
                1000,
            ),
            "max_mismatch": { "type": "number", "minimum": 0, "exclusiveMaximum": 1,
                "default": 0.01, "description": "Share of the answers that may differ." },
            "content_type": { "type": "boolean", "default": true,
                "description": "Whether answers of another media type differ, beside those of another status." },
            "stopped": { "type": "boolean", "default": false,
                "description": "Whether mirroring is over. The engine writes it." },
        }),
        &["percentage"],
    );
    described(shadow, "What is compared before anybody is moved.")
}
