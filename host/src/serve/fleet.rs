//! What commands need of a fleet on NATS: the way in.

use std::path::Path;

use crate::exit::{Exit, Failure};

use super::store::nats::connect::{Address, Login};

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
