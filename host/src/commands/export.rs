//! `crossfade export`.

mod options;
mod to_file;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use crossfade_protocol::Problem;
use crossfade_protocol::plan::Plan;
use serde_json::Value;

use crate::exit::{self, Exit, Failure};
use crate::export::{
    ControlServer, Exported, FilterOptions, GatewayOptions, RouteOptions, envoy, filter,
    gateway_api,
};
use crate::output::print;
use crate::plugin::Plugin;
use crate::policy::{Policy, read};
use crate::question::EngineArgs;
use crate::yaml::write::yaml;

use to_file::{replace, watch};

/// Write a plan for other proxies.
///
/// What they can decide exactly as Crossfade does is written. What they cannot is named,
/// all of it at once, and nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    #[command(subcommand)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Target {
    Envoy(EnvoyArgs),
    EnvoyFilter(FilterArgs),
    GatewayApi(GatewayArgs),
}

const EXAMPLES: &str = "\
Examples:
  Routes for an Envoy without any plugin, kept up to date while you edit the plan:
    crossfade export envoy plan.yaml --cluster v1=users-v1 --cluster v2=users-v2 \\
        -o /etc/envoy/routes/users.yaml --watch

  A whole Envoy with the filter, for rules, live policies and outcomes per version:
    crossfade export envoy-filter plan.yaml --cluster v1=10.0.0.1:8080 \\
        --cluster v2=10.0.0.2:8080 > envoy.yaml && envoy --mode validate -c envoy.yaml

  A route for a Kubernetes gateway:
    crossfade export gateway-api plan.yaml --backend v1=users-v1:8080 \\
        --backend v2=users-v2:8080 --parent public | kubectl apply -f -";

/// How the document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// YAML, with the notes as comments
    #[default]
    Yaml,
    /// JSON
    Json,
}

/// What all of them take.
#[derive(Debug, clap::Args)]
struct Common {
    /// The plan, YAML or JSON; `-` is standard input.
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// As what it is written.
    #[arg(long, value_enum, default_value_t)]
    output: Format,

    /// Write to this file instead of standard output. It is replaced as a whole, so that
    /// whoever reads it finds the old or the new one.
    #[arg(short = 'o', long, value_name = "FILE")]
    to: Option<PathBuf>,

    /// Write again whenever the plan changes, until interrupted. A plan that cannot be
    /// exported leaves the file as it is.
    #[arg(long, requires = "to")]
    watch: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

/// As routes of a stock Envoy: no plugin, the same decisions.
///
/// For canaries and splits by key without a salt, pins by key, and rules on headers. The
/// file is for RDS (`rds.config_source.path_config_source`), where Envoy notices that it
/// was replaced.
#[derive(Debug, clap::Args)]
struct EnvoyArgs {
    #[command(flatten)]
    common: Common,

    /// The cluster of a version [default: the version's name].
    #[arg(long = "cluster", value_name = "VERSION=CLUSTER", value_parser = options::cluster)]
    clusters: Vec<(String, String)>,

    /// What the route configuration is called, as in `rds.route_config_name`.
    #[arg(long, value_name = "NAME", default_value = "crossfade", value_parser = options::some)]
    name: String,

    /// A host that the routes are for [default: all].
    #[arg(long = "domain", value_name = "HOST", value_parser = options::domain)]
    domains: Vec<String>,

    /// Paths that the routes are for.
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = options::path)]
    prefix: String,

    /// The request header that tells the upstream its version.
    #[arg(long, value_name = "NAME", default_value = "x-api-version", value_parser = options::header_name)]
    version_header: String,
}

/// As a whole Envoy configuration with the Crossfade filter.
///
/// `cargo xtask edge` builds the filter, edge/envoy/crossfade_envoy.wasm.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    #[command(flatten)]
    common: Common,

    /// Where a version is served; needed for each.
    #[arg(long = "cluster", value_name = "VERSION=HOST:PORT", value_parser = options::versioned_address)]
    clusters: Vec<(String, (String, u16))>,

    /// Where Envoy listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = options::listen)]
    listen: SocketAddr,

    /// Where Envoy's admin interface listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901", value_parser = options::listen)]
    admin: SocketAddr,

    /// What this Envoy calls itself. Each needs a name of its own, here or by `envoy
    /// --service-node`.
    #[arg(long, value_name = "NAME", default_value = "edge-1", value_parser = options::some)]
    node: String,

    /// Where Envoy finds the filter.
    #[arg(long, value_name = "FILE", default_value = "crossfade_envoy.wasm", value_parser = options::some)]
    wasm: String,

    /// A control server that newer policies come from, and that counts go to.
    #[arg(long, value_name = "HOST:PORT", value_parser = options::address)]
    control: Option<(String, u16)>,

    /// A file with the token for the control server. It will stand in the configuration.
    #[arg(long, value_name = "FILE", requires = "control")]
    control_token_file: Option<PathBuf>,

    /// The request header that the filter sets and routes choose by.
    #[arg(long, value_name = "NAME", default_value = "x-api-version", value_parser = options::header_name)]
    version_header: String,

    /// A response header for the reason of each decision [default: none].
    #[arg(long, value_name = "NAME", value_parser = options::header_name)]
    reason_header: Option<String>,
}

/// As an HTTPRoute of the Kubernetes Gateway API.
///
/// Mind that most gateways draw a version for each request, not for each user.
#[derive(Debug, clap::Args)]
struct GatewayArgs {
    #[command(flatten)]
    common: Common,

    /// The service of a version [default: the version's name, port 80].
    #[arg(long = "backend", value_name = "VERSION=SERVICE:PORT", value_parser = options::versioned_service)]
    backends: Vec<(String, (String, u16))>,

    /// The gateway that the route belongs to.
    #[arg(long, value_name = "NAME", value_parser = options::object_name)]
    parent: String,

    /// What the route is called [default: the plan's `api`].
    #[arg(long, value_name = "NAME", value_parser = options::object_name)]
    name: Option<String>,

    /// Of the route.
    #[arg(long, value_name = "NAME", value_parser = options::namespace)]
    namespace: Option<String>,

    /// A host that the route is for [default: all of the gateway's].
    #[arg(long = "hostname", value_name = "HOST", value_parser = options::hostname)]
    hostnames: Vec<String>,

    /// Paths that the route is for.
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = options::path)]
    prefix: String,
}

/// Makes the document of a plan: as it was read, and as it was written.
type Write = Box<dyn Fn(&Plan, &Value) -> Result<Exported, Vec<Problem>>>;

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let (command, common, versions, write) = self.target.prepare()?;
        let mut engine = common.engine.start(0)?;
        let make = |engine: &mut Plugin| {
            let policy = read(&common.plan)?;
            let (text, notes) = export(&policy, engine, &versions, &write, common.output, command)?;
            // Not `eprint!`: that panics when stderr is closed.
            let _ = io::stderr().write_all(notes.as_bytes());
            Ok(text)
        };
        let Some(to) = &common.to else {
            return make(&mut engine).and_then(|text| print(&text)).map(|()| Exit::Ok);
        };
        if !common.watch {
            return make(&mut engine).and_then(|text| replace(to, &text)).map(|()| Exit::Ok);
        }
        watch(&common.plan, to, || make(&mut engine))
    }
}

impl Target {
    /// What it is called, what it shares with the others, the versions that options
    /// name, and how to write a plan.
    fn prepare(self) -> Result<(&'static str, Common, Vec<String>, Write), Failure> {
        let named = |versions: &mut dyn Iterator<Item = &String>| versions.cloned().collect();
        Ok(match self {
            Target::Envoy(args) => {
                let versions = named(&mut args.clusters.iter().map(|(version, _)| version));
                let any = vec!["*".to_owned()];
                let options = RouteOptions {
                    clusters: args.clusters.into_iter().collect(),
                    name: args.name,
                    domains: if args.domains.is_empty() { any } else { args.domains },
                    prefix: args.prefix,
                    version_header: args.version_header,
                };
                let write: Write = Box::new(move |plan, _| envoy(plan, &options));
                ("envoy", args.common, versions, write)
            }
            Target::EnvoyFilter(args) => {
                let versions = named(&mut args.clusters.iter().map(|(version, _)| version));
                // Port 0 is any that is free.
                if args.listen == args.admin && args.listen.port() != 0 {
                    let why = format!("`--listen` and `--admin` are both {}", args.listen);
                    return Err(Failure::new(Exit::Usage, why));
                }
                let token = args.control_token_file.as_deref().map(to_file::token).transpose()?;
                let options = FilterOptions {
                    node: args.node,
                    clusters: args.clusters.into_iter().collect(),
                    listen: args.listen,
                    admin: args.admin,
                    wasm: args.wasm,
                    control: args.control.map(|(host, port)| ControlServer { host, port, token }),
                    version_header: args.version_header,
                    reason_header: args.reason_header,
                };
                let write: Write = Box::new(move |plan, written| filter(plan, written, &options));
                ("envoy-filter", args.common, versions, write)
            }
            Target::GatewayApi(args) => {
                let versions = named(&mut args.backends.iter().map(|(version, _)| version));
                let options = GatewayOptions {
                    backends: args.backends.into_iter().collect::<BTreeMap<_, _>>(),
                    parent: args.parent,
                    name: args.name,
                    namespace: args.namespace,
                    hostnames: args.hostnames,
                    prefix: args.prefix,
                };
                let write: Write = Box::new(move |plan, _| gateway_api(plan, &options));
                ("gateway-api", args.common, versions, write)
            }
        })
    }
}

/// The text of the file, and what there is to say about it.
fn export(
    policy: &Policy,
    engine: &mut Plugin,
    versions: &[String],
    write: &Write,
    format: Format,
    command: &str,
) -> Result<(String, String), Failure> {
    let checked = policy.check(engine).map_err(|error| error.failure(Exit::Data))?;
    if !checked.valid {
        return Err(checked.failure());
    }
    let plan = Plan::read(policy.value()).map_err(|problems| {
        let listed: Vec<String> =
            problems.list.iter().map(|p| format!("{}: {}", p.path, p.message)).collect();
        Failure::new(
            Exit::Internal,
            format!("the engine takes a plan that we do not: {}", listed.join("; ")),
        )
    })?;
    places_of(versions, &plan)?;
    let exported = write(&plan, policy.value()).map_err(|problems| {
        let cannot = policy.refused(problems);
        let text = format!("{} cannot be exported:\n{cannot}", policy.name());
        Failure::new(Exit::Data, text.trim_end())
    })?;
    let notes = policy.noted(exported.notes);
    let said = notes.to_string();
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&exported.document).unwrap_or_default() + "\n",
        Format::Yaml => {
            let file = policy.name();
            let head = format!(
                "Made by `crossfade export {command}` from {file}: change that instead.\n{said}"
            );
            let head: String = head.lines().map(|line| format!("# {line}\n")).collect();
            let origin = |(at, path): (String, String)| {
                let line =
                    policy.line(&path).map(|line| format!("line {line}: ")).unwrap_or_default();
                (at, line + &path)
            };
            let mut comments = exported.comments;
            comments.extend(exported.origins.into_iter().map(origin));
            head + &yaml(&exported.document, &comments)
        }
    };
    Ok((text, said))
}

/// Each version that an option names has to be one of the plan's, and be named once.
fn places_of(named: &[String], plan: &Plan) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for (place, version) in named.iter().enumerate() {
        if plan.versions.index(version).is_none() {
            let listed = plan.versions.listed();
            wrong.push(format!("the plan has no version `{version}`: known are {listed}"));
        } else if named.iter().take(place).any(|earlier| earlier == version) {
            wrong.push(format!("`{version}` is given twice"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Usage, wrong.join("\n"))),
    }
}
