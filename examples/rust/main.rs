//! A host of one's own: loads `crossfade.wasm` and asks which version serves a client.
//!
//! `cargo run --example embed` runs it with the module that `cargo xtask edge` has built.

use wasmtime::{Engine, Instance, Memory, Module, Result, Store, TypedFunc, format_err};

/// The plan, as an init document.
const INIT: &[u8] = br#"{"policy": {"api": "users", "versions": {"from": "v1", "to": "v2"},
    "key": {"header": "x-user-id"}, "canary_percentage": 45}}"#;

struct Host {
    store: Store<()>,
    memory: Memory,
    input: TypedFunc<u32, u32>,
    handle: TypedFunc<(u32, f64), u32>,
}

impl Host {
    fn start(wasm: &[u8], seed: u64, now_ms: f64) -> Result<Host> {
        let engine = Engine::default();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &Module::new(&engine, wasm)?, &[])?;
        let version = instance.get_typed_func::<(), u32>(&mut store, "crossfade_abi_version")?;
        if version.call(&mut store, ())? != 1 {
            return Err(format_err!("the module speaks another ABI"));
        }
        let memory = instance.get_memory(&mut store, "memory").ok_or(format_err!("no memory"))?;
        let input = instance.get_typed_func(&mut store, "crossfade_input")?;
        let handle = instance.get_typed_func(&mut store, "crossfade_handle")?;
        let init =
            instance.get_typed_func::<(u32, f64, u32, u32), u32>(&mut store, "crossfade_init")?;
        let mut host = Host { store, memory, input, handle };
        let len = host.write(INIT)?;
        let seed = (seed as u32, (seed >> 32) as u32);
        let record = init.call(&mut host.store, (len, now_ms, seed.0, seed.1))?;
        match host.read(record)? {
            [] => Ok(host),
            refusal => Err(format_err!("{}", String::from_utf8_lossy(refusal))),
        }
    }

    /// Lines in, lines out.
    fn handle(&mut self, lines: &[u8], now_ms: f64) -> Result<&[u8]> {
        let len = self.write(lines)?;
        let record = self.handle.call(&mut self.store, (len, now_ms))?;
        self.read(record)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<u32> {
        let len = u32::try_from(bytes.len())?;
        match self.input.call(&mut self.store, len)? {
            0 => Err(format_err!("too much at once")),
            address => {
                Ok(self.memory.write(&mut self.store, address as usize, bytes).map(|()| len)?)
            }
        }
    }

    /// What a record points at: two words, an address and a length.
    fn read(&self, record: u32) -> Result<&[u8]> {
        if record == 0 {
            return Ok(&[]);
        }
        let memory = self.memory.data(&self.store);
        let word =
            |at: usize| Some(u32::from_le_bytes(memory.get(at..at + 4)?.try_into().ok()?) as usize);
        let record = record as usize;
        let bytes =
            word(record).zip(word(record + 4)).and_then(|(at, len)| memory.get(at..at + len));
        bytes.ok_or(format_err!("an answer outside the memory"))
    }
}

/// Which version serves each of these clients, as JSON lines.
pub(crate) fn ask(wasm: &[u8], clients: &[&str]) -> Result<String> {
    let mut host = Host::start(wasm, 1234, 0.0)?;
    let line = |client: &&str| format!("{{\"type\":\"get_users\",\"user_id\":\"{client}\"}}\n");
    let lines: String = clients.iter().map(line).collect();
    Ok(String::from_utf8_lossy(host.handle(lines.as_bytes(), 0.0)?).into_owned())
}

#[cfg_attr(test, allow(dead_code, reason = "the test asks by itself"))]
fn main() -> Result<()> {
    let wasm = std::fs::read("edge/worker/crossfade.wasm")?;
    print!("{}", ask(&wasm, &["user123", "user3"])?);
    Ok(())
}
