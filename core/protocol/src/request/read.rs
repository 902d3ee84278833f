//! Reading requests.

use serde_json::{Map, Value};

use super::{
    Address, Brownouts, Clock, Command, Counts, GateQuestion, InitDocument, Lives, Message,
    Outcome, Override, Request, Unreadable, changes, clients, life, unsupported,
};
use crate::error::{ErrorCode, Fault, Problems};
use crate::json::{parse, shown_value};
use crate::limits::{
    ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, KEY_BYTES_MAX, MINUTES_MAX, NAME_BYTES_MAX,
    OUTCOME_COUNT_MAX, OUTCOMES_MAX, STEPS_MAX,
};
use crate::plan::{Gate, Plan, Versions, read_gate, read_split, read_steps};
use crate::read::{Fields, Node, read};

/// 24 hours: what `window_ms` means when it is not given.
const WINDOW_MS_DEFAULT: u64 = 24 * 60 * 60 * 1000;

pub(super) fn message(line: &str, versions: &Versions) -> Result<Message, Box<Unreadable>> {
    let unreadable = |address, msg_id, fault| Box::new(Unreadable { address, msg_id, fault });
    let value = parse(line).map_err(|text| unreadable(None, None, Fault::malformed(text)))?;
    let Value::Object(outer) = &value else {
        let text = format!("{} is not a message: an object is", shown_value(&value));
        return Err(unreadable(None, None, Fault::malformed(text)));
    };
    let Head { body: head, bad_name, address, src } = read_envelope(outer);
    let head = head.map_err(|fault| unreadable(address.clone(), None, fault))?;
    let msg_id = read_msg_id(head).map_err(|fault| unreadable(address.clone(), None, fault))?;
    if let Some(fault) = bad_name {
        return Err(unreadable(None, msg_id, fault));
    }
    let enveloped = !std::ptr::eq(head, outer);
    match read_request(head, enveloped.then_some(outer), versions) {
        Ok(request) => Ok(Message { address, src, msg_id, request }),
        Err(fault) => Err(unreadable(address, msg_id, fault)),
    }
}

/// A line's outside.
struct Head<'v> {
    body: Result<&'v Map<String, Value>, Fault>,
    /// What is wrong with `src` or `dest`; the reply's id may still be readable.
    bad_name: Option<Fault>,
    address: Option<Address>,
    src: Option<String>,
}

/// The body, and who sent it. A line without `body` is the body.
fn read_envelope(outer: &Map<String, Value>) -> Head<'_> {
    let name = |field: &str| match outer.get(field) {
        Some(Value::String(name)) if name.len() <= KEY_BYTES_MAX => Ok(Some(name.clone())),
        Some(Value::String(_)) => {
            Err(Fault::malformed(format!("{field}: over the limit of {KEY_BYTES_MAX} bytes")))
        }
        None | Some(Value::Null) => Ok(None),
        Some(other) => {
            Err(Fault::malformed(format!("{field}: {} is not a string", shown_value(other))))
        }
    };
    let (src, dest, bad_name) = match (name("src"), name("dest")) {
        (Ok(src), Ok(dest)) => (src, dest, None),
        (Err(fault), _) | (_, Err(fault)) => (None, None, Some(fault)),
    };
    let address = match (&src, dest) {
        (Some(src), Some(dest)) => Some(Address { src: src.clone(), dest }),
        _ => None,
    };
    let body = match outer.get("body") {
        None => Ok(outer),
        Some(Value::Object(body)) => Ok(body),
        Some(other) => {
            Err(Fault::malformed(format!("body: {} is not an object", shown_value(other))))
        }
    };
    Head { body, bad_name, address, src }
}

fn read_msg_id(body: &Map<String, Value>) -> Result<Option<u64>, Fault> {
    match body.get("msg_id") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| {
            let shown = shown_value(value);
            Fault::malformed(format!("msg_id: {shown} is not a whole number from 0 to 2^64 - 1"))
        }),
    }
}

fn read_request(
    body: &Map<String, Value>,
    outer: Option<&Map<String, Value>>,
    versions: &Versions,
) -> Result<Request, Fault> {
    let name = match body.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(other) => {
            return Err(Fault::malformed(format!("type: {} is not a string", shown_value(other))));
        }
        None => return Err(Fault::malformed("`type` is missing: what is asked")),
    };
    // A message is read as an object of its own, so that paths begin at the body.
    let value = Value::Object(body.clone());
    let all = |f: &dyn Fn(&Fields<'_, '_>) -> Option<Request>| {
        read(&value, |node| f(&node.object()?)).map_err(malformed)
    };
    let traffic = || read_override(body, outer, versions);
    match name {
        "init" => all(&|fields| {
            let node_id = fields.require("node_id", "this node's name")?.name()?.to_owned();
            Some(Request::Init { node_id })
        }),
        "get_users" => {
            let traffic = traffic()?;
            all(&|fields| {
                Some(Request::GetUsers {
                    user_id: read_key(fields, "user_id")?,
                    traffic: traffic.clone(),
                })
            })
        }
        "route" => {
            let traffic = traffic()?;
            all(&|fields| {
                let (key, attributes) = read_subject(fields)?;
                let count = flip(fields.get("count").map(|node| node.flag()))?.unwrap_or(true);
                Some(Request::Route { key, attributes, traffic: traffic.clone(), count })
            })
        }
        "get_migration_stats" => {
            all(&|fields| Some(Request::GetMigrationStats { window_ms: read_window(fields)? }))
        }
        "gradual_rollout" => all(&|fields| {
            let steps = fields.get("steps").map(|node| read_steps(&node));
            let gate = fields.get("gate").map(|node| read_message_gate(&node));
            Some(Request::GradualRollout { steps: flip(steps)?, gate: flip(gate)? })
        }),
        "report_outcomes" => all(&|fields| {
            let list = fields.require("outcomes", "a list of {version, ok or status}")?;
            let items = list.list(OUTCOMES_MAX)?;
            let read: Vec<_> = items.iter().map(|node| read_outcome(node, versions)).collect();
            Some(Request::ReportOutcomes { outcomes: read.into_iter().collect::<Option<_>>()? })
        }),
        "report_shadow" => all(&|fields| life::shadow(fields).map(Request::ReportShadow)),
        "configure" => {
            let document = body.get("document").ok_or_else(|| {
                Fault::malformed("`document` is missing: the plan document, as in docs/protocol.md")
            })?;
            Ok(Request::Configure { plan: Box::new(read_plan("document", document)?) })
        }
        "get_config" => Ok(Request::GetConfig),
        "explain" => {
            let plan = match body.get("policy") {
                None | Some(Value::Null) => None,
                Some(document) => Some(Box::new(read_plan("policy", document)?)),
            };
            // A split for this message names the versions of the plan that decides it.
            let versions = plan.as_ref().map_or(versions, |plan| &plan.versions);
            let traffic = read_override(body, outer, versions)?;
            all(&|fields| {
                let (key, attributes) = read_subject(fields)?;
                Some(Request::Explain {
                    plan: plan.clone(),
                    key,
                    attributes,
                    traffic: traffic.clone(),
                })
            })
        }
        "check_policy" => match body.get("document") {
            Some(document) => Ok(Request::CheckPolicy { document: document.clone() }),
            None => Err(Fault::malformed("`document` is missing: the plan document to check")),
        },
        "evaluate_gate" => all(&read_gate_question),
        "explain_rollout" => Ok(Request::ExplainRollout),
        "get_rollout" => Ok(Request::GetRollout),
        "pause_rollout" => Ok(Request::Command(Command::Pause)),
        "resume_rollout" => Ok(Request::Command(Command::Resume)),
        "promote_rollout" => all(&|fields| {
            let full = flip(fields.get("full").map(|node| node.flag()))?.unwrap_or_default();
            Some(Request::Command(Command::Promote { full }))
        }),
        "abort_rollout" => Ok(Request::Command(Command::Abort)),
        "retry_rollout" => Ok(Request::Command(Command::Retry)),
        "undo_rollout" => Ok(Request::Command(Command::Undo)),
        "report_clients" => clients::read_report(body).map(Request::Ledger),
        name if clients::TYPES.contains(&name) => {
            all(&|fields| clients::read(name, fields).map(Request::Ledger))
        }
        "take_clients" | "note_clients" => changes::read(name, body).map(Request::Changes),
        "get_sunset" => all(&|fields| {
            let max = u64::from(MINUTES_MAX) * 60_000;
            let window_ms = flip(fields.get("window_ms").map(|node| node.whole(max)))?;
            Some(Request::GetSunset { window_ms })
        }),
        "get_brownouts" => Ok(Request::Brownouts(Brownouts::List)),
        "start_brownout" => all(&|fields| life::start(fields).map(Request::Brownouts)),
        "stop_brownout" => all(&|fields| life::stop(fields).map(Request::Brownouts)),
        "get_life" => Ok(Request::Life(Lives::Get)),
        "advance_life" => all(&|fields| life::advance(fields).map(Request::Life)),
        "refuse" => Ok(Request::Refuse(read_refusal(body))),
        other => Err(unsupported(other)),
    }
}

fn malformed(problems: Problems) -> Fault {
    Fault::malformed(problems.to_string())
}

/// `Some(None)` of a field that is there but wrong becomes `None`.
pub(super) fn flip<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn read_plan(field: &str, document: &Value) -> Result<Plan, Fault> {
    Plan::read(document).map_err(|mut problems| {
        for problem in &mut problems.list {
            let dot = if problem.path.is_empty() { "" } else { "." };
            problem.path = format!("{field}{dot}{}", problem.path);
        }
        malformed(problems)
    })
}

/// A routing key; empty is none.
pub(super) fn read_key(fields: &Fields<'_, '_>, name: &'static str) -> Option<Option<String>> {
    let key = flip(fields.get(name).map(|node| node.text(KEY_BYTES_MAX)))?;
    Some(key.filter(|key| !key.is_empty()).map(str::to_owned))
}

type Subject = (Option<String>, Vec<(String, String)>);

fn read_subject(fields: &Fields<'_, '_>) -> Option<Subject> {
    let key = read_key(fields, "key");
    let attributes = flip(fields.get("attributes").map(|node| read_attributes(&node)));
    Some((key?, attributes?.unwrap_or_default()))
}

fn read_attributes(node: &Node<'_, '_>) -> Option<Vec<(String, String)>> {
    let mut attributes = Vec::new();
    let mut complete = true;
    for (name, node) in node.entries(ATTRIBUTES_MAX)? {
        if name.len() > NAME_BYTES_MAX {
            node.note::<()>(format!("a name over the limit of {NAME_BYTES_MAX} bytes"));
            complete = false;
        } else if node.value.is_null() {
            // An attribute that is null is an attribute that is absent.
        } else {
            match crate::plan::attribute_text(node.value) {
                Some(text) if text.len() <= ATTRIBUTE_BYTES_MAX => {
                    attributes.push((name.to_owned(), text))
                }
                Some(text) => {
                    complete = false;
                    node.note::<()>(format!(
                        "{} bytes are over the limit of {ATTRIBUTE_BYTES_MAX}",
                        text.len()
                    ));
                }
                None => {
                    complete = false;
                    node.wrong::<()>("not a string, number or boolean");
                }
            }
        }
    }
    complete.then_some(attributes)
}

/// `canary_percentage` or `traffic_split`, in the body or beside it, but only once.
fn read_override(
    body: &Map<String, Value>,
    outer: Option<&Map<String, Value>>,
    versions: &Versions,
) -> Result<Option<Override>, Fault> {
    let find = |name: &'static str| {
        let inner = body.get(name).filter(|value| !value.is_null());
        let beside = outer.and_then(|outer| outer.get(name)).filter(|value| !value.is_null());
        match (inner, beside) {
            (Some(_), Some(_)) => {
                Err(Fault::malformed(format!("`{name}` is given twice: in the body and beside it")))
            }
            (value, None) | (None, value) => Ok(value),
        }
    };
    let read = match (find("canary_percentage")?, find("traffic_split")?) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let text = "`canary_percentage` and `traffic_split` exclude each other";
            return Err(Fault::malformed(text));
        }
        (Some(value), None) => {
            under("canary_percentage", value, |node| node.share().map(Override::Canary))
        }
        (None, Some(value)) => {
            let sticky = match find("sticky")? {
                None => Ok(false),
                Some(value) => under("sticky", value, |node| node.flag()),
            };
            let split = under("traffic_split", value, |node| read_split(node, Some(versions)));
            split.and_then(|split| Ok(Override::Split { split, sticky: sticky? }))
        }
    };
    read.map(Some).map_err(malformed)
}

/// Reads one value that stands under `name`.
fn under<T>(
    name: &'static str,
    value: &Value,
    f: impl FnOnce(&Node<'_, '_>) -> Option<T>,
) -> Result<T, Problems> {
    let mut wrapper = Map::new();
    wrapper.insert(name.to_owned(), value.clone());
    let wrapper = Value::Object(wrapper);
    read(&wrapper, |node| f(&node.object()?.get(name)?))
}

fn read_window(fields: &Fields<'_, '_>) -> Option<u64> {
    let max = u64::from(MINUTES_MAX) * 60_000;
    Some(flip(fields.get("window_ms").map(|node| node.whole(max)))?.unwrap_or(WINDOW_MS_DEFAULT))
}

/// A gate in a message advances where a document's would hold, unless it says so: without
/// evidence, and without data.
fn read_message_gate(node: &Node<'_, '_>) -> Option<Gate> {
    let mut gate = read_gate(node)?;
    let said = |name: &str| node.value.get(name).is_some_and(|value| !value.is_null());
    let bare = Plan::bare().gate;
    if !said("on_inconclusive") {
        gate.on_inconclusive = bare.on_inconclusive;
    }
    // One that asks for evidence asks for data, too.
    if gate.on_inconclusive == bare.on_inconclusive && !said("on_missing_data") {
        gate.on_missing_data = bare.on_missing_data;
    }
    Some(gate)
}

fn read_outcome(node: &Node<'_, '_>, versions: &Versions) -> Option<Outcome> {
    let fields = node.object()?;
    let version = fields.require("version", "which version served it").and_then(|node| {
        let name = node.name()?;
        versions.index(name).or_else(|| {
            let shown = crate::json::shown(name);
            node.note(format!("unknown version `{shown}`: known are {}", versions.listed()))
        })
    });
    let user_id = read_key(&fields, "user_id");
    let ok = flip(fields.get("ok").map(|node| node.flag()));
    let status = flip(fields.get("status").map(|node| {
        node.value
            .as_u64()
            .filter(|status| (100..=599).contains(status))
            .or_else(|| node.wrong("not an HTTP status from 100 to 599"))
    }));
    let latency_ms = flip(
        fields
            .get("latency_ms")
            .map(|node| node.number(|ms| (0.0..=1e12).contains(&ms), "not milliseconds from 0")),
    );
    let count = flip(fields.get("count").map(|node| {
        let count = node.whole(OUTCOME_COUNT_MAX)?;
        if count == 0 { node.note("0 requests have no outcome") } else { Some(count) }
    }));
    let failed = match (ok?, status?) {
        (Some(ok), None) => !ok,
        // A client's own mistake (4xx) does not speak against the version that said so.
        (None, Some(status)) => status >= 500,
        (Some(_), Some(_)) => return node.note("`ok` and `status` exclude each other"),
        (None, None) => return node.note("`ok` or `status` is missing: whether it failed"),
    };
    Some(Outcome {
        version: version?,
        user_id: user_id?,
        failed,
        latency_ms: latency_ms?,
        count: count?,
    })
}

fn read_gate_question(fields: &Fields<'_, '_>) -> Option<Request> {
    let segments = fields.require(
        "segments",
        "a list of {canary_requests, canary_failures, control_requests, control_failures}",
    );
    let segments = segments.and_then(|node| {
        let items = node.list(STEPS_MAX * 100)?;
        if items.is_empty() {
            return node.note("no segments: nothing to judge");
        }
        let read: Vec<_> = items.iter().map(read_counts).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let mut gate = crate::plan::FailureGate::default();
    let probability = |node: Node<'_, '_>| {
        node.number(|p| p > 0.0 && p < 1.0, "not a probability above 0 and below 1")
    };
    let margin = flip(fields.get("margin").map(|node| {
        node.number(
            |m| (1.0..=10.0).contains(&m),
            "not a margin: 1 (as good as the old version) to 10",
        )
    }));
    let alpha = flip(fields.get("alpha").map(probability));
    let beta = flip(fields.get("beta").map(probability));
    gate.margin = margin?.unwrap_or(gate.margin);
    gate.alpha = alpha?.unwrap_or(gate.alpha);
    gate.beta = beta?.unwrap_or(gate.beta);
    Some(Request::EvaluateGate(GateQuestion { segments: segments?, gate }))
}

pub(super) fn counts(segment: &Value) -> Result<Counts, Problems> {
    read(segment, |node| read_counts(&node))
}

fn read_counts(node: &Node<'_, '_>) -> Option<Counts> {
    let fields = node.object()?;
    let count = |name| {
        fields.require(name, "a count").and_then(|n: Node<'_, '_>| n.whole(OUTCOME_COUNT_MAX))
    };
    let counts = [
        count("canary_requests"),
        count("canary_failures"),
        count("control_requests"),
        count("control_failures"),
    ];
    let [canary_requests, canary_failures, control_requests, control_failures] = counts;
    let counts = Counts {
        canary_requests: canary_requests?,
        canary_failures: canary_failures?,
        control_requests: control_requests?,
        control_failures: control_failures?,
    };
    if counts.canary_failures > counts.canary_requests
        || counts.control_failures > counts.control_requests
    {
        return node.note("more failures than requests");
    }
    Some(counts)
}

fn read_refusal(body: &Map<String, Value>) -> Fault {
    let code = body
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| ErrorCode::try_from(code).ok())
        .unwrap_or(ErrorCode::MalformedRequest);
    let text = body.get("text").and_then(Value::as_str).unwrap_or("refused by the host");
    Fault { code, text: text.to_owned() }
}

pub(super) fn init_document(document: &[u8]) -> Result<InitDocument, Fault> {
    if document.trim_ascii().is_empty() {
        return Ok(InitDocument::default());
    }
    let text = std::str::from_utf8(document).map_err(|e| {
        Fault::malformed(format!("init document: not UTF-8 at byte {}", e.valid_up_to()))
    })?;
    let value = parse(text).map_err(|e| Fault::malformed(format!("init document: {e}")))?;
    let default = InitDocument::default();
    let mut init = read(&value, |node| {
        let fields = node.object()?;
        let clock = flip(
            fields
                .get("clock")
                .map(|node| node.word(&[("virtual", Clock::Virtual), ("wall", Clock::Wall)])),
        );
        let name = flip(fields.get("node").map(|node| node.name().map(str::to_owned)));
        let epoch = flip(fields.get("epoch").map(|node| {
            let text = node.text(16)?;
            u64::from_str_radix(text, 16)
                .ok()
                .or_else(|| node.wrong("not up to 16 hexadecimal digits"))
        }));
        let clients =
            flip(fields.get("clients").map(|node| node.word(&[("report", false), ("keep", true)])));
        fields.get("policy");
        fields.refuse_unknown();
        Some(InitDocument {
            clock: clock?.unwrap_or(default.clock),
            node: name?.unwrap_or_else(|| default.node.clone()),
            epoch: epoch?,
            report_clients: clients?.is_some(),
            keep_clients: clients?.unwrap_or_default(),
            plan: None,
        })
    })
    .map_err(malformed)?;
    if let Some(document) = value.get("policy").filter(|value| !value.is_null()) {
        init.plan = Some(Box::new(read_plan("policy", document)?));
    }
    Ok(init)
}
