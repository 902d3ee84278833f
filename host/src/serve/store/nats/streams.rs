//! The streams of a fleet, created where they are not there yet.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Compression, Config, DiscardPolicy, Republish, StorageType, Stream,
};
use async_nats::jetstream::{Context, context::CreateStreamError};
use tokio::time::Instant;
use tracing::info;

use super::super::StoreError;
use super::connect::Access;
use super::names::{self, Names};

/// Copies of everything, where the cluster has so many servers.
const REPLICAS: usize = 3;

/// How long a new cluster may take to place a stream: servers that say they are healthy
/// were seen to refuse one for five seconds more.
const PLACEMENT: Duration = Duration::from_secs(20);

/// How long an old report may still be of use to a controller that comes back.
const TOTALS_AGE: Duration = Duration::from_secs(3600);

/// How long a lease is good for without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(3);

/// As in a store on one machine.
const EVENTS_MAX: i64 = 100_000;
const POLICIES_MAX: i64 = 10_000;

/// The streams that a store needs.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) log: Stream,
    pub(super) events: Stream,
    pub(super) audit: Stream,
    pub(super) policies: Stream,
    pub(super) totals: Stream,
    pub(super) policy: Stream,
    pub(super) lease: Stream,
}

impl Streams {
    /// Finds them, or makes those that are not there.
    pub(super) async fn open(
        access: &Access,
        context: &Context,
        names: &Names,
    ) -> Result<Streams, StoreError> {
        let mut maker = Maker {
            access,
            context,
            replicas: access.address.replicas.unwrap_or(REPLICAS),
            deadline: Instant::now() + PLACEMENT,
        };
        let log = Config {
            compression: Some(Compression::S2),
            description: about("every change of state; the truth"),
            ..stream(names.log_stream(), names.log())
        };
        let events = Config {
            max_messages: EVENTS_MAX,
            description: about("what happened; message N is event N"),
            ..stream(names.events_stream(), names.events())
        };
        let audit = Config {
            deny_delete: true,
            deny_purge: true,
            description: about("who did what and why; for good"),
            ..stream(names.audit_stream(), names.audit())
        };
        let policies = Config {
            max_messages: POLICIES_MAX,
            description: about("every policy that was in force"),
            ..stream(names.policies_stream(), names.policies())
        };
        let totals = Config {
            // Totals are cumulative: the newest of a node tells all that those before told.
            max_messages_per_subject: 1,
            max_age: TOTALS_AGE,
            description: about("what nodes counted since they started, and reports of clients"),
            ..stream(names.totals_stream(), names.totals())
        };
        let policy = Config {
            max_messages_per_subject: 20,
            republish: Some(Republish {
                source: names::POLICY_SUBJECTS.to_owned(),
                destination: names::POLICY_PUSH.to_owned(),
                headers_only: false,
            }),
            description: about("the policies in force"),
            ..bucket(names::POLICY_STREAM, names::POLICY_SUBJECTS)
        };
        let lease = Config {
            max_messages_per_subject: 1,
            max_age: LEASE,
            // Outlives a server, not all of them: by then it has run out anyway. A disk
            // that is slow to flush must not cost anybody the lead.
            storage: StorageType::Memory,
            description: about("which `crossfade serve` leads"),
            ..bucket(names::LEASE_STREAM, names::LEASE_SUBJECTS)
        };
        Ok(Streams {
            // The first one made tells how many replicas there can be.
            log: maker.stream(log).await?,
            events: maker.stream(events).await?,
            audit: maker.stream(audit).await?,
            policies: maker.stream(policies).await?,
            totals: maker.stream(totals).await?,
            policy: maker.stream(policy).await?,
            lease: maker.stream(lease).await?,
        })
    }
}

fn about(what: &str) -> Option<String> {
    Some(format!("Crossfade: {what}"))
}

fn stream(name: String, subject: String) -> Config {
    Config {
        name,
        subjects: vec![subject],
        storage: StorageType::File,
        allow_direct: true,
        ..Config::default()
    }
}

/// A stream that `nats kv` knows as a bucket.
fn bucket(name: &str, subjects: &str) -> Config {
    Config {
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        ..stream(name.to_owned(), subjects.to_owned())
    }
}

struct Maker<'a> {
    access: &'a Access,
    context: &'a Context,
    replicas: usize,
    deadline: Instant,
}

impl Maker<'_> {
    async fn stream(&mut self, config: Config) -> Result<Stream, StoreError> {
        loop {
            let why = match self.context.get_stream(&config.name).await {
                Ok(stream) => return self.check(stream, &config),
                Err(error) if absent(&error.kind()) => {
                    let config = Config { num_replicas: self.replicas, ..config.clone() };
                    let name = config.name.clone();
                    match self.context.create_stream(config).await {
                        Ok(stream) => {
                            info!("created the stream {name}, {} replicas", self.replicas);
                            return Ok(stream);
                        }
                        Err(error) if self.fewer(&error) => continue,
                        Err(error) => self.words(&error),
                    }
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() >= self.deadline {
                return Err(self.access.failed(format!("stream {}: {why}", config.name)));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Whether to go on with one replica, since the server stands alone.
    fn fewer(&mut self, error: &CreateStreamError) -> bool {
        let alone = code(error) == Some(ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED)
            && self.access.address.replicas.is_none();
        if alone {
            self.replicas = 1;
        }
        alone
    }

    fn words(&self, error: &CreateStreamError) -> String {
        if code(error) == Some(ErrorCode::CLUSTER_NO_PEERS) {
            return format!(
                "the cluster has no room for {} replicas ({error}): start its other servers, or \
                 say `?replicas=1` for a fleet that may lose its store with one machine",
                self.replicas
            );
        }
        error.to_string()
    }

    /// Whether a stream that is there is what we would have made.
    fn check(&self, stream: Stream, ours: &Config) -> Result<Stream, StoreError> {
        let theirs = &stream.cached_info().config;
        let same = theirs.subjects == ours.subjects
            && theirs.max_messages_per_subject.max(0) == ours.max_messages_per_subject
            && theirs.max_age == ours.max_age
            && theirs.republish == ours.republish;
        if !same {
            return Err(self.access.foreign(format!(
                "has a stream {} with other settings than Crossfade's",
                ours.name
            )));
        }
        Ok(stream)
    }
}

fn absent(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error)
        if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn code(error: &CreateStreamError) -> Option<ErrorCode> {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => Some(error.error_code()),
        _ => None,
    }
}
