//! OpenFeature's documents, for the OpenAPI description alone.

#![expect(dead_code, reason = "the description is made from their fields")]

use utoipa::ToSchema;

/// Who asks.
#[derive(ToSchema)]
pub(crate) struct Evaluation {
    context: Option<Context>,
}

/// The subject: a key, and whatever else is known of it.
#[derive(ToSchema)]
pub(crate) struct Context {
    /// The routing key.
    #[schema(rename = "targetingKey")]
    targeting_key: Option<String>,
}

/// A version, and why.
#[derive(ToSchema)]
pub(crate) struct Success {
    /// The plan's `api`.
    key: String,
    /// The version.
    value: String,
    /// The version.
    variant: String,
    /// `TARGETING_MATCH`, `SPLIT`, `DISABLED`, `STATIC`, `DEFAULT` or `UNKNOWN`.
    reason: String,
    metadata: Metadata,
}

/// What Crossfade has to say beyond OpenFeature's words.
#[derive(ToSchema)]
pub(crate) struct Metadata {
    /// Of the policy.
    revision: u64,
    /// As in docs/protocol.md.
    reason: String,
    bucket: Option<u32>,
    rule: Option<String>,
    /// `brownout` or `gone`: the version would refuse the call.
    refused: Option<String>,
    /// The status of that refusal.
    status: Option<u16>,
}

/// Why there is no version.
#[derive(ToSchema)]
pub(crate) struct Failed {
    key: Option<String>,
    /// `PARSE_ERROR`, `INVALID_CONTEXT`, `TARGETING_KEY_MISSING` or `FLAG_NOT_FOUND`.
    #[schema(rename = "errorCode")]
    error_code: Option<String>,
    #[schema(rename = "errorDetails")]
    error_details: Option<String>,
}

/// Every flag: the one there is.
#[derive(ToSchema)]
pub(crate) struct Bulk {
    #[schema(value_type = Vec<Object>)]
    flags: (),
    metadata: Option<BulkMetadata>,
}

/// Of all flags.
#[derive(ToSchema)]
pub(crate) struct BulkMetadata {
    /// Of the policy.
    revision: u64,
}
