//! What commands need of a fleet on NATS: the way in.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde_json::Value;
use tokio::runtime::Handle;

use crate::exit::{Exit, Failure};

use super::FleetOptions;
use super::store::nats::connect::{Address, Login};
use super::store::nats::{Nats, NatsOptions};

pub(crate) use super::store::PolicyRow;
pub(crate) use super::store::nats::connect::Access;
pub(crate) use super::store::nats::member::Member;

/// Holds the credentials when no file does.
const CREDENTIALS_VARIABLE: &str = "CROSSFADE_STORE_CREDS";

/// Reads what the options of this name say about a fleet's servers.
///
/// # Errors
/// [`Exit::Usage`]: the address is none. [`Exit::Data`]: the credentials are none.
/// [`Exit::Io`]: a file cannot be read.
pub(crate) fn access(
    option: &str,
    address: &str,
    credentials: Option<&Path>,
    ca: Option<&Path>,
) -> Result<Access, Failure> {
    let address = Address::parse(address)
        .map_err(|why| Failure::new(Exit::Usage, format!("{option}: {why}")))?;
    let (name, text) = match credentials {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::new(Exit::Io, format!("cannot read {name}: {error}")))?;
            (name, Some(text))
        }
        None => (CREDENTIALS_VARIABLE.to_owned(), std::env::var(CREDENTIALS_VARIABLE).ok()),
    };
    let login = text.map(|text| Login::parse(&text)).transpose();
    let login = login.map_err(|why| Failure::new(Exit::Data, format!("{name}: {why}")))?;
    if let Some(path) = ca.filter(|path| !path.is_file()) {
        let text = format!("cannot read {}: there is no such file", path.display());
        return Err(Failure::new(Exit::Io, text));
    }
    Ok(Access { address, login, ca: ca.map(Path::to_path_buf) })
}

/// Opens the store of a controller, and makes its data directory, which then holds its
/// secrets alone. The API is the plan's, or the one that is named.
///
/// # Errors
/// Neither tells the API, or what the store says.
pub(super) fn open(
    options: &FleetOptions,
    data: &Path,
    plan: Option<&Value>,
    address: String,
    runtime: Handle,
) -> Result<Nats, Failure> {
    let of_plan = plan.and_then(|plan| plan.get("api")).and_then(Value::as_str);
    let api = match (of_plan, options.api.as_deref()) {
        (Some(plan), Some(named)) if plan != named => {
            let text = format!("the plan is of the API `{plan}`, and --api says `{named}`");
            return Err(Failure::new(Exit::Usage, text));
        }
        (of_plan, named) => of_plan.or(named),
    };
    let Some(api) = api else {
        let text = "a fleet holds several migrations: say which with --api NAME, or name its plan";
        return Err(Failure::new(Exit::Usage, text));
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error| {
        Failure::new(Exit::Io, format!("cannot make {}: {error}", data.display()))
    })?;
    let options = NatsOptions { access: options.access.clone(), api: api.to_owned(), address };
    Nats::open(options, runtime).map_err(|error| super::store_failure(&error))
}
