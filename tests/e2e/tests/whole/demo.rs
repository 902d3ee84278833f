//! `crossfade demo` with a real Envoy, which it must not leave behind.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::Stdio;

use crossfade_e2e::wait_for;
use crossfade_edge_tests::{crossfade, envoy};
use serde_json::Value;

#[test]
fn a_demo_that_is_killed_leaves_no_envoy_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let program = envoy::program();
    let arguments = ["demo", "--through", "envoy", "--port", "0", "--output", "json", "--envoy"];
    let mut command = crossfade(&arguments);
    command.arg(program).env("TMPDIR", temporary.path());
    let filter = crossfade_edge_tests::config::Module::Shipped.path();
    let mut child = command.arg("--filter").arg(filter).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let started: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(started["through"], "envoy");
    let traffic = started["traffic"].as_str().unwrap();
    let address = traffic.trim_start_matches("http://").trim_end_matches('/').to_owned();
    TcpStream::connect(&address).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("Envoy to end", || TcpStream::connect(&address).err());
}
