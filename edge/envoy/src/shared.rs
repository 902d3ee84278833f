//! What all instances of the filter in one Envoy share: a fixed set of keys.
//!
//! Envoy runs one instance per worker and one on its main thread. They share bytes under
//! keys, each with a stamp that a write may insist on. Nothing can be removed, so keys are
//! few and never made from what a client sends.

use crate::config::Control;
use crate::host::{Host, When};

/// How often a write that others were faster with is tried again in one tick.
const TRIES: usize = 8;

/// The keys of one filter and control server. A filter with another root id, or with
/// another control server, has keys of its own.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// 8 bytes: the revision of the record under `policy`. Small, for every tick reads it.
    revision: String,
    policy: String,
    lease: String,
    instances: String,
}

/// The newest policy that some instance was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) revision: u64,
    /// Under which the control server knows it.
    pub(crate) etag: String,
    /// The control server's answer.
    pub(crate) body: Vec<u8>,
}

impl Record {
    /// 8 bytes of revision, 2 of the tag's length, the tag, the answer.
    fn write(&self) -> Vec<u8> {
        let length = u16::try_from(self.etag.len()).unwrap_or_default();
        let etag = if length == 0 { &[][..] } else { self.etag.as_bytes() };
        [&self.revision.to_le_bytes(), &length.to_le_bytes()[..], etag, &self.body].concat()
    }

    fn read(bytes: &[u8]) -> Option<Record> {
        let (revision, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (etag, body) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some(Record {
            revision: u64::from_le_bytes(*revision),
            etag: String::from_utf8(etag.to_vec()).ok()?,
            body: body.to_vec(),
        })
    }
}

/// Who asks the control server, and until when nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) holder: u64,
    pub(crate) until_ms: u64,
}

impl Lease {
    fn write(self) -> Vec<u8> {
        [self.holder.to_le_bytes(), self.until_ms.to_le_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Lease> {
        let (holder, rest) = bytes.split_first_chunk()?;
        let (until_ms, _) = rest.split_first_chunk()?;
        Some(Lease { holder: u64::from_le_bytes(*holder), until_ms: u64::from_le_bytes(*until_ms) })
    }
}

impl Keys {
    pub(crate) fn new(root_id: &str, control: &Control) -> Keys {
        let Control { cluster, authority, path, .. } = control;
        let key = |name| format!("crossfade/{root_id}/{cluster}/{authority}{path}/{name}");
        Keys {
            revision: key("revision"),
            policy: key("policy"),
            lease: key("lease"),
            instances: key("instances"),
        }
    }

    /// The revision of the newest policy; `None` when there is none yet.
    pub(crate) fn revision(&self, host: &impl Host) -> Option<u64> {
        number(&host.shared(&self.revision)?.0)
    }

    /// The newest policy.
    pub(crate) fn policy(&self, host: &impl Host) -> Option<Record> {
        Record::read(&host.shared(&self.policy)?.0)
    }

    /// Gives a policy to all instances, unless they have a newer one.
    pub(crate) fn publish(&self, host: &impl Host, record: &Record) {
        let newer = |bytes: &[u8]| Record::read(bytes).is_none_or(|r| record.revision > r.revision);
        // First the record, then the small key that leads to it.
        if self.put(host, &self.policy, &record.write(), newer) {
            let newer = |bytes: &[u8]| number(bytes).is_none_or(|known| record.revision > known);
            self.put(host, &self.revision, &record.revision.to_le_bytes(), newer);
        }
    }

    fn put(
        &self,
        host: &impl Host,
        key: &str,
        value: &[u8],
        replaces: impl Fn(&[u8]) -> bool,
    ) -> bool {
        for _ in 0..TRIES {
            let when = match host.shared(key) {
                None => When::Absent,
                Some((known, stamp)) if replaces(&known) => When::Unchanged(stamp),
                Some(_) => return false,
            };
            if host.set_shared(key, value, when) {
                return true;
            }
        }
        false
    }

    /// A number that no other instance has, from 1. `None`: others were faster, try again.
    pub(crate) fn instance(&self, host: &impl Host) -> Option<u64> {
        for _ in 0..TRIES {
            let (last, when) = match host.shared(&self.instances) {
                None => (0, When::Absent),
                Some((bytes, stamp)) => (number(&bytes)?, When::Unchanged(stamp)),
            };
            let mine = last.checked_add(1)?;
            if host.set_shared(&self.instances, &mine.to_le_bytes(), when) {
                return Some(mine);
            }
        }
        None
    }

    /// Takes or keeps the lease until `until_ms`; `false` when another instance has it, or
    /// was faster.
    ///
    /// A lease that ends later than `latest_ms` is none: the clock went back.
    pub(crate) fn lease(
        &self,
        host: &impl Host,
        wanted: Lease,
        now_ms: u64,
        latest_ms: u64,
    ) -> bool {
        let when = match host.shared(&self.lease) {
            None => When::Absent,
            Some((bytes, stamp)) => {
                let held = Lease::read(&bytes).is_some_and(|lease| {
                    lease.holder != wanted.holder && (now_ms..=latest_ms).contains(&lease.until_ms)
                });
                if held {
                    return false;
                }
                When::Unchanged(stamp)
            }
        };
        host.set_shared(&self.lease, &wanted.write(), when)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
