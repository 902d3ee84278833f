//! Any requests to the control plane, behind its socket.

#![no_main]

use std::net::TcpStream;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use crossfade_fuzz::http::Control;
use libfuzzer_sys::fuzz_target;

static CONTROL: LazyLock<Control> = LazyLock::new(|| start().expect("it starts"));

fuzz_target!(|bytes: &[u8]| CONTROL.run(bytes));

/// The server in a thread of this process, where its code is seen; its data is left in the
/// folder for temporary files.
fn start() -> std::io::Result<Control> {
    let folder = std::env::temp_dir().join(format!("crossfade-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (plan, data) = (folder.join("plan.yaml"), folder.join("data"));
    std::fs::write(
        &plan,
        "api: users\nversions: { from: v1, to: v2 }\nkey: { header: x-user-id }\n\
         rollout: { steps: [{ percentage: 10, duration_minutes: 1 }] }\n",
    )?;
    // A free one; whoever takes it in between makes this fail, and one starts again.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let listen = address.to_string();
    let arguments = ["crossfade", "--log-level", "off", "serve", "--listen"].map(Into::into);
    let files = ["--data".into(), data.clone().into_os_string(), plan.into_os_string()];
    let arguments: Vec<_> = arguments.into_iter().chain([listen.into()]).chain(files).collect();
    thread::spawn(move || panic!("it ended: {:?}", crossfade::cli::run_with(arguments)));
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not listen on {address}");
        thread::sleep(Duration::from_millis(10));
    }
    let token = std::fs::read_to_string(data.join("operator.token"))?.trim().to_owned();
    Ok(Control { address, token })
}
