//! Every maximum in one place, with what it means and what is answered beyond it.

/// One JSON line, without its newline. Longer: error 12, and the next line is served.
/// Room for a policy of 10,000 pins (about 0.5 MB) several times over.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// What `crossfade_input` reserves at most; beyond it returns 0. A snapshot of the
/// largest client table fits.
pub const INPUT_BYTES_MAX: usize = 512 << 20;

/// Depth of nested arrays and objects in a message. Deeper: error 12.
pub const JSON_DEPTH_MAX: usize = 64;

/// A routing key or client id. Longer: error 12. RFC 9110 recommends that servers
/// take at least 8,000 bytes in a whole header section; ids in use have 5 to 64.
pub const KEY_BYTES_MAX: usize = 1024;

/// A version, rule, api or attribute name. Longer: error 12.
pub const NAME_BYTES_MAX: usize = 128;

/// An attribute's value. Longer: error 12.
pub const ATTRIBUTE_BYTES_MAX: usize = 4096;

/// Attributes of one request. More: error 12.
pub const ATTRIBUTES_MAX: usize = 64;

/// Versions of one API alive at once. More: a problem of the plan.
pub const VERSIONS_MAX: usize = 16;

/// Pins in one policy. More: a problem of the plan; use a rule with an attribute.
pub const PINS_MAX: usize = 10_000;

/// Rules in one policy. More: a problem of the plan.
pub const RULES_MAX: usize = 256;

/// Conditions of one rule, counted through all its levels. More: a problem of the plan.
pub const CONDITIONS_MAX: usize = 256;

/// Values in one condition's `in` list. More: a problem of the plan.
pub const CONDITION_VALUES_MAX: usize = 1024;

/// Steps of one rollout. More: a problem of the plan, or error 12.
pub const STEPS_MAX: usize = 100;

/// Minutes in any duration: ten years. More: a problem of the plan, or error 12.
pub const MINUTES_MAX: u32 = 10 * 366 * 24 * 60;

/// Freeze windows, and brownouts, of one plan. More: a problem of the plan.
pub const WINDOWS_MAX: usize = 1000;

/// Clients of one brownout that are told apart. More: they are not counted, and
/// `stop_when.clients` stops it here at the latest.
pub const BROWNOUT_CLIENTS_MAX: usize = 65_536;

/// Clients that a plan lists as ready, as blocked or as pinned back: of each so many. More:
/// a problem of the plan.
pub const LISTED_CLIENTS_MAX: usize = 10_000;

/// Bytes of such a list as JSON. More: a problem of the plan. An edge reads a policy of up to
/// 4 MiB, and clients who say of themselves that they are ready must not make it longer.
pub const LISTED_BYTES_MAX: usize = 512 * 1024;

/// Places where a client's identity may come from beside the routing key. More: a problem
/// of the plan.
pub const IDENTITIES_MAX: usize = 8;

/// Coming brownouts that an answer announces. More: only the next ones are.
pub const ANNOUNCED_MAX: usize = 8;

/// Days in any horizon or notice: ten years. More: a problem of the plan.
pub const DAYS_MAX: u32 = 3660;

/// Clients that a plan may have the controller keep. More: a problem of the plan. They, and
/// twice their snapshot while it is written, fit into the 1 GiB of an instance.
pub const CLIENTS_NATIVE_MAX: u64 = 2_000_000;

/// Bytes of the rows of all those clients, their keys among them. More: the controller keeps
/// a sample, as of more clients than the plan says. To go through all has to be over within
/// the second that a call may take.
pub const LEDGER_BYTES_MAX: usize = 128 << 20;

/// The weight of one version in a split (Gateway API's bound). More: error 12.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Problems of one document that are listed; the rest are counted.
pub const PROBLEMS_MAX: usize = 100;

/// Outcomes in one `report_outcomes`. More: error 12; send another message.
pub const OUTCOMES_MAX: usize = 10_000;

/// The `count` of one aggregated outcome. More: error 12.
pub const OUTCOME_COUNT_MAX: u64 = 1 << 40;

/// Clients in the exact table. Beyond it requests are still decided and counted;
/// new clients are not, and `migration_stats` says so.
pub const CLIENTS_MAX: usize = 1_000_000;

/// Clients in one `get_clients` answer. More asked for: this many are given.
pub const CLIENTS_LISTED_MAX: usize = 10_000;

/// Bytes of all client ids together. Beyond it as for [`CLIENTS_MAX`].
pub const CLIENT_KEY_BYTES_MAX: usize = 256 << 20;

/// Clients that a node remembers between two reports. More: it keeps a sample by hash, and
/// its report says so.
pub const EDGE_CLIENTS_MAX: usize = 10_000;

/// Bytes that a node remembers of its clients between two reports. More: as for
/// [`EDGE_CLIENTS_MAX`].
pub const EDGE_CLIENTS_BYTES_MAX: usize = 4 << 20;

/// What a client says of itself. Longer: cut.
pub const DECLARED_BYTES_MAX: usize = 256;

/// One report of clients. What does not fit comes in the next.
pub const CLIENTS_REPORT_BYTES_MAX: usize = 64 << 10;

/// What a client's software may call itself. Longer: cut.
pub const AGENT_BYTES_MAX: usize = 64;

/// Names of software that are told apart. More: counted as `other`.
pub const AGENTS_MAX: usize = 4096;

/// Nodes times epochs whose totals, or reports of clients, a controller keeps apart. More:
/// those that were silent for [`SOURCE_SILENT_MS`] are folded together, and where there are
/// none, error 11 to the newcomer.
pub const TOTALS_SOURCES_MAX: usize = 65_536;

/// A day: no report is sent again after so long. Runs of nodes that were silent for it make
/// room for newcomers.
pub const SOURCE_SILENT_MS: u64 = 86_400_000;

/// Events kept until the next tick takes them. More: the oldest are dropped and counted.
pub const EVENTS_MAX: usize = 1024;

/// Milliseconds since the epoch that a time may show: the year 9999, well inside
/// the 2^53 that an f64 holds exactly.
pub const TIME_MS_MAX: u64 = 253_402_300_799_999;
