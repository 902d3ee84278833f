//! `crossfade ui`.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tracing::warn;

use crate::exit::{self, Exit, Failure};
use crate::{page, signals};

/// Show the page: rehearse a migration in your browser before you run it.
///
/// Serves it on this machine's loopback until Ctrl-C. The engine runs in the browser; the
/// page sends nothing anywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// The port to listen on; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 7401)]
    port: u16,
}

const EXAMPLES: &str = "Examples:
  Look at http://127.0.0.1:7401/:
    crossfade ui

  On a free port, which is the first line of output:
    crossfade ui --port 0";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let cannot = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => ": take another port with --port, or --port 0",
                _ => "",
            };
            Failure::new(Exit::Io, format!("cannot serve on {address}: {error}{hint}"))
        };
        signals::watch(|| {}).map_err(cannot)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        runtime.block_on(async {
            let listener = TcpListener::bind(address).await.map_err(cannot)?;
            let address = listener.local_addr().map_err(cannot)?;
            if !page::is_built() {
                warn!("the page is not in this program: `cargo xtask page`, then build it again");
            }
            // Whoever reads it may have gone; the page is served all the same.
            let _ = writeln!(io::stdout(), "http://{address}/");
            axum::serve(listener, page::router::<()>(page::About::Rehearsals)).await.map_err(cannot)
        })?;
        Ok(Exit::Ok)
    }
}
