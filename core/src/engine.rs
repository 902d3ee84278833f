//! Placeholder engine.
use crossfade_protocol::abi::RouteWord;
/// Placeholder.
#[derive(Debug)]
pub struct Engine;
impl crate::guest::Guest for Engine {
    fn init(_: &[u8], _: u64, _: u64, _: &mut Vec<u8>) -> Self {
        Engine
    }
    fn handle(&mut self, lines: &[u8], _: u64, out: &mut Vec<u8>) {
        for line in lines.split(|b| *b == b'\n') {
            if !line.trim_ascii().is_empty() {
                out.extend_from_slice(b"{\"type\":\"error\",\"code\":10,\"text\":\"stub\"}\n");
            }
        }
    }
    fn route(&mut self, _: &[u8], _: u32) -> RouteWord {
        RouteWord::CANNOT
    }
    fn tick(&mut self, _: u64, _: &mut Vec<u8>) {}
    fn totals(&mut self, _: &mut Vec<u8>) {}
    fn merge(&mut self, _: &[u8], _: &mut Vec<u8>) {}
    fn snapshot(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"stub")
    }
    fn restore(&mut self, _: &[u8], _: &mut Vec<u8>) {}
}
