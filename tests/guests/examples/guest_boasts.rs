//! Brings vectors that it does not pass.

use crossfade_core::Engine;

crossfade_core::export_abi!(
    Engine,
    vectors: b"> {\"type\":\"get_users\",\"msg_id\":1}\n< {\"type\":\"users_response\",\"version\":\"v9\"}\n"
);
