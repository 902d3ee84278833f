//! What a decision looks at.

use crate::policy::Traffic;

/// Attributes of a request, looked up by name.
pub trait Attributes {
    /// The attribute's text, or `None` when the request does not have it.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Attributes for &[(String, String)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
    }
}

/// No attributes at all.
impl Attributes for () {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// One request, borrowed from whoever received it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The routing key; absent and empty are the same.
    pub key: Option<&'a [u8]>,
    /// What rules may look at.
    pub attributes: &'a dyn Attributes,
    /// Traffic for this request only, instead of the policy's.
    pub traffic: Option<&'a Traffic>,
    /// Whether this node's local guard has tripped.
    pub guard_tripped: bool,
}

impl<'a> Request<'a> {
    /// A request with this key and nothing else.
    pub fn of_key(key: &'a [u8]) -> Request<'a> {
        Request {
            key: Some(key).filter(|key| !key.is_empty()),
            attributes: &(),
            traffic: None,
            guard_tripped: false,
        }
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("key", &self.key.map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}
