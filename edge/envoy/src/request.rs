//! What a decision looks at, found in a request: the key, and attributes.
//!
//! Attributes are looked up only when a rule asks for one, each at most once. What is not
//! there, empty or too long is absent. So is an attribute that is there several times:
//! where two parties read one request in two ways, a client could be two people at once.
//! Of a key that is there several times the first counts: to see whether there is a second
//! one costs every request a microsecond, and whoever can send two could send one alone.

use std::cell::OnceCell;

use crossfade_core::protocol::agent::{declared, product};
use crossfade_core::protocol::clients::{Declared, Identity};
use crossfade_core::protocol::limits::{ATTRIBUTE_BYTES_MAX, KEY_BYTES_MAX};
use crossfade_core::protocol::plan::{AttributeSource, IdentitySource, KeyFrom, Plan};
use crossfade_core::request::Attributes;

use crate::cookie;
use crate::host::Host;

/// Envoy's filter that checks tokens, and the name under which it has to leave what was in
/// one (`payload_in_metadata`).
const JWT_FILTER: &str = "envoy.filters.http.jwt_authn";
const JWT_PAYLOAD: &str = "jwt_payload";

/// Where a policy's plan says that the parts are; made once a policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// Where the plan has a `clients` section.
    clients: Option<ClientPlaces>,
    key: Option<Place>,
    attributes: Vec<(String, Place)>,
}

/// What else a client is known by, and where it declares itself.
#[derive(Debug, Clone)]
struct ClientPlaces {
    identity: Vec<IdentitySource>,
    declare: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    Header(String),
    Cookie(String),
    Address,
}

impl From<&AttributeSource> for Place {
    fn from(source: &AttributeSource) -> Place {
        match source {
            AttributeSource::Header(name) => Place::Header(name.clone()),
            AttributeSource::Cookie(name) => Place::Cookie(name.clone()),
        }
    }
}

impl Places {
    pub(crate) fn of(plan: &Plan) -> Places {
        let key = match &plan.key.from {
            KeyFrom::Header(name) => Some(Place::Header(name.clone())),
            KeyFrom::Cookie(name) => Some(Place::Cookie(name.clone())),
            KeyFrom::Address => Some(Place::Address),
            // Without a source it is absent, as any other attribute.
            KeyFrom::Attribute(name) => plan.attributes.get(name).map(Place::from),
        };
        // Nothing but a rule looks at attributes.
        let sources = plan.attributes.0.iter().filter(|_| !plan.rules.is_empty());
        let attributes = sources.map(|(name, source)| (name.clone(), source.into())).collect();
        let clients = (!plan.clients.is_default()).then(|| ClientPlaces {
            identity: plan.clients.identity.clone(),
            declare: plan.clients.declare.clone(),
        });
        Places { clients, key, attributes }
    }
}

/// One request, and what was found in it so far.
pub(crate) struct Found<'r, H> {
    host: &'r H,
    places: &'r Places,
    cookies: OnceCell<Option<Vec<u8>>>,
    attributes: Vec<OnceCell<Option<String>>>,
}

/// Who made a request.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) key: Vec<u8>,
    pub(crate) identity: Identity,
    pub(crate) agent: Option<Box<str>>,
    pub(crate) says: Option<Declared>,
}

impl<'r, H: Host> Found<'r, H> {
    pub(crate) fn new(host: &'r H, places: &'r Places) -> Found<'r, H> {
        let attributes = vec![OnceCell::new(); places.attributes.len()];
        Found { host, places, cookies: OnceCell::new(), attributes }
    }

    /// The routing key, in bytes of any kind.
    pub(crate) fn key(&self) -> Option<Vec<u8>> {
        let key = match self.places.key.as_ref()? {
            Place::Header(name) => self.host.request_header(name)?,
            place => self.look(place)?,
        };
        Some(key).filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()))
    }

    /// Who made the request: by its routing key, else by the first of the plan's sources
    /// that it has. Only a plan that has a `clients` section asks for more than the key.
    pub(crate) fn client(&self, key: Option<Vec<u8>>) -> Option<Client> {
        let Some(clients) = &self.places.clients else {
            return Some(Client { key: key?, identity: Identity::Key, agent: None, says: None });
        };
        let user_agent = self.host.request_header("user-agent").unwrap_or_default();
        let agent = product(&user_agent);
        let known = |source| self.known_by(source, agent);
        let (key, identity) = match key {
            Some(key) => (key, Identity::Key),
            None => clients.identity.iter().find_map(known)?,
        };
        let declares = clients.declare.as_deref().and_then(|name| self.host.request_header(name));
        let says = declares.as_deref().and_then(declared);
        Some(Client { key, identity, agent: agent.map(Box::from), says })
    }

    fn known_by(
        &self,
        source: &IdentitySource,
        agent: Option<&str>,
    ) -> Option<(Vec<u8>, Identity)> {
        let property = |path: &[&str]| self.host.property(path).filter(|value| !value.is_empty());
        let found = match source {
            IdentitySource::Header(name) => (single(self.host, name)?, Identity::ApiKey),
            IdentitySource::Mtls => {
                // A certificate made for a service often has no subject but a name as URI.
                let subject = property(&["connection", "subject_peer_certificate"]);
                let uri = || property(&["connection", "uri_san_peer_certificate"]);
                (subject.or_else(uri)?, Identity::Mtls)
            }
            IdentitySource::Jwt(claim) => {
                let path = ["metadata", "filter_metadata", JWT_FILTER, JWT_PAYLOAD, claim];
                (property(&path)?, Identity::Jwt)
            }
            IdentitySource::Address => {
                let mut found = self.look(&Place::Address)?;
                if let Some(agent) = agent {
                    found.push(b' ');
                    found.extend_from_slice(agent.as_bytes());
                }
                (found, Identity::Address)
            }
        };
        (1..=KEY_BYTES_MAX).contains(&found.0.len()).then_some(found)
    }

    fn look(&self, place: &Place) -> Option<Vec<u8>> {
        match place {
            Place::Header(name) => single(self.host, name),
            Place::Cookie(name) => {
                let cookies = self.cookies.get_or_init(|| self.host.request_header("cookie"));
                cookie::find(cookies.as_deref()?, name.as_bytes()).map(<[u8]>::to_vec)
            }
            Place::Address => {
                let address = self.host.property(&["source", "address"])?;
                Some(without_port(&address).to_vec())
            }
        }
    }
}

impl<H: Host> Attributes for Found<'_, H> {
    fn get(&self, name: &str) -> Option<&str> {
        let place = self.places.attributes.iter().position(|(known, _)| known == name)?;
        let found = self.attributes.get(place)?.get_or_init(|| {
            let (_, place) = self.places.attributes.get(place)?;
            let value = self.look(place)?;
            if value.is_empty() || value.len() > ATTRIBUTE_BYTES_MAX {
                return None;
            }
            String::from_utf8(value).ok()
        });
        found.as_deref()
    }
}

/// The value of a header that has one.
///
/// Asking for the values joined costs one host call, as asking for the first does. Only a
/// comma leaves open whether there are several, or one with a comma in it.
fn single(host: &impl Host, name: &str) -> Option<Vec<u8>> {
    let joined = host.request_header_joined(name)?;
    if joined.contains(&b',') && host.request_header(name)?.len() != joined.len() {
        return None;
    }
    Some(joined)
}

/// `192.0.2.1:80` and `[2001:db8::1]:80` without port and brackets. Others as they are.
fn without_port(address: &[u8]) -> &[u8] {
    let Some(colon) = address.iter().rposition(|byte| *byte == b':') else { return address };
    let (host, port) = address.split_at(colon);
    if !port.iter().skip(1).all(u8::is_ascii_digit) {
        return address;
    }
    match host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
        Some(inner) => inner,
        None if host.contains(&b':') => address,
        None => host,
    }
}
