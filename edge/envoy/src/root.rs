//! One instance as a whole: configured, ticking, and answered by the control server.

use std::cell::RefCell;
use std::rc::Rc;

use crate::clients::{ClientReports, Sender};
use crate::config::{Config, Control, node_name};
use crate::filter::HeaderNames;
use crate::host::{Answer, Host, Level};
use crate::live::Live;
use crate::node::Node;
use crate::report::Report;
use crate::shared::Keys;

/// Milliseconds between two ticks, so the longest that a policy takes from one instance to
/// the others, and counts to Envoy's statistics.
pub const TICK_MS: u64 = 200;

/// One instance, configured.
#[derive(Debug)]
pub struct Root {
    node: Rc<RefCell<Node>>,
    names: Rc<HeaderNames>,
    remote: Option<Remote>,
    /// Whether the gauges were set for the policy of the start: not in `configure`, which
    /// Envoy also calls on instances that never serve.
    gauges: bool,
}

/// What an instance with a control server has beside.
#[derive(Debug)]
struct Remote {
    control: Control,
    keys: Keys,
    live: Live,
    report: Report,
    clients: ClientReports,
    /// The id of this instance's life.
    epoch: u64,
    node: Option<String>,
    /// Its number and its name in reports, from the first tick on.
    instance: Option<(u64, String)>,
}

impl Root {
    /// Reads the configuration. Has no effect on anything that instances share.
    ///
    /// # Errors
    /// Every problem of the configuration, a line each.
    pub fn configure(host: &impl Host, configuration: &[u8]) -> Result<Root, Vec<String>> {
        let config = Config::read(configuration).map_err(|problems| {
            let more = (problems.more > 0).then(|| format!("and {} more", problems.more));
            problems.list.iter().map(ToString::to_string).chain(more).collect::<Vec<_>>()
        })?;
        let Config { policy, revision, control, node: name, shadow, .. } = config;
        let Config { version_header, reason_header, .. } = config;
        let mut node = Node::new(host.random());
        node.mirror(shadow, &version_header);
        if let Some(plan) = policy {
            node.adopt(plan, revision);
        }
        let remote = control.map(|control| {
            let root_id = host.property(&["plugin_root_id"]).unwrap_or_default();
            let keys = Keys::new(&String::from_utf8_lossy(&root_id), &control);
            let live = Live::start(host, &mut node, &keys);
            let epoch = host.random();
            let (report, clients) = (Report::new(epoch), ClientReports::default());
            node.report_clients(host.random());
            Remote { control, keys, live, report, clients, epoch, node: name, instance: None }
        });
        Ok(Root {
            node: Rc::new(RefCell::new(node)),
            names: Rc::new(HeaderNames { version: version_header, reason: reason_header }),
            remote,
            gauges: false,
        })
    }

    /// The node, for the requests of this instance.
    pub fn node(&self) -> Rc<RefCell<Node>> {
        Rc::clone(&self.node)
    }

    /// The headers that requests write to.
    pub fn names(&self) -> Rc<HeaderNames> {
        Rc::clone(&self.names)
    }

    /// [`TICK_MS`] have passed.
    pub fn tick(&mut self, host: &impl Host) {
        // Never borrowed here: nothing that the host is asked calls back.
        let Ok(mut node) = self.node.try_borrow_mut() else { return };
        if !std::mem::replace(&mut self.gauges, true) {
            let revision = node.revision().unwrap_or_default();
            node.metrics.policy(host, revision);
            node.metrics.guard(host, false);
        }
        node.mirror_what_waits(host);
        if let Some(remote) = &mut self.remote {
            remote.tick(host, &mut node);
        }
        node.flush(host);
    }

    /// Whether an answer with this token is the newest version's to a mirrored request.
    pub fn is_shadow(&self, token: u32) -> bool {
        self.node.try_borrow().is_ok_and(|node| node.is_shadow(token))
    }

    /// Who was asked answered, or did not.
    pub fn answer(&mut self, host: &impl Host, token: u32, answer: &Answer) {
        let Ok(mut node) = self.node.try_borrow_mut() else { return };
        if node.is_shadow(token) {
            return node.compare(host, token, answer);
        }
        let Some(remote) = &mut self.remote else { return };
        let Remote { control, keys, live, report, clients, epoch, instance, .. } = remote;
        let name = instance.as_ref().map_or("", |(_, name)| name);
        let from = (&*control, Sender { node: name, epoch: *epoch });
        let _ = live.answer(host, &mut node, keys, token, answer)
            || report.answer(host, &mut node, token, answer)
            || clients.answer(host, &mut node, from, token, answer);
    }

    /// This instance serves no more: what it has counted goes to Envoy's statistics.
    pub fn done(&mut self, host: &impl Host) {
        if let Ok(mut node) = self.node.try_borrow_mut() {
            node.flush(host);
        }
    }
}

impl Remote {
    fn tick(&mut self, host: &impl Host, node: &mut Node) {
        if self.instance.is_none() {
            self.instance = self.keys.instance(host).map(|number| {
                // Where Envoy 1.40 has it, and where older ones do.
                let paths = [&["xds", "node", "id"][..], &["node", "id"]];
                let own = || paths.iter().find_map(|path| node_name(&host.property(path)?));
                let name = self.node.clone().or_else(own).unwrap_or_else(|| "envoy".to_owned());
                (number, format!("{name}/{number}"))
            });
        }
        let Some((number, name)) = &self.instance else { return };
        let now_ms = host.now_ns() / 1_000_000;
        self.live.tick(host, node, &self.keys, &self.control, *number, now_ms);
        self.report.tick(host, node, &self.control, name, now_ms);
        let sender = Sender { node: name, epoch: self.epoch };
        self.clients.tick(host, node, &self.control, sender, now_ms);
    }
}

/// Says why a configuration is refused.
pub fn refuse(host: &impl Host, problems: &[String]) {
    for problem in problems {
        host.log(Level::Error, &format!("crossfade: configuration: {problem}"));
    }
}
