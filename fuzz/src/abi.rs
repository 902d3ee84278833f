//! The built module behind its bare exports: calls in any order, with any lengths and times,
//! before it was started and after, as no careful host makes them.
//!
//! A line is a call: the export's first letter, a length, a time or another number, and
//! bytes that are written where the module said its input is.

use std::sync::LazyLock;

use wasmtime::{Engine, Instance, Module, Store, TypedFunc};

static COMPILED: LazyLock<(Engine, Module)> = LazyLock::new(|| {
    let engine = Engine::default();
    let module = Module::new(&engine, crossfade::module::BUILTIN_WASM).expect("it compiles");
    (engine, module)
});

const CALLS_MAX: usize = 200;

/// Makes the calls: none traps, and what each points at is in the module's memory and is
/// lines of JSON, but for a snapshot.
///
/// # Panics
/// Something does not hold.
pub fn run(bytes: &[u8]) {
    let (engine, module) = &*COMPILED;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).expect("it imports nothing");
    let mut guest = Guest { store, instance };
    for line in bytes.split(|byte| *byte == b'\n').take(CALLS_MAX) {
        if let Some((verb, rest)) = line.split_first() {
            guest.call(*verb, rest);
        }
    }
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn export<P: wasmtime::WasmParams>(&mut self, name: &str) -> TypedFunc<P, u32> {
        self.instance.get_typed_func(&mut self.store, name).expect("the ABI has it")
    }

    fn call(&mut self, verb: u8, rest: &[u8]) {
        let (len, rest) = number(rest);
        let (other, input) = number(rest);
        let time = match other {
            0 => f64::NAN,
            1 => -1.0,
            2 => f64::INFINITY,
            other => other as f64,
        };
        let len = len as u32;
        let result = match verb {
            // What was asked for is written; a length of 0 asks for what there is to write.
            b'w' => return self.write(if len == 0 { input.len() as u32 } else { len }, input),
            b'i' => {
                let init = self.export::<(u32, f64, u32, u32)>("crossfade_init");
                init.call(&mut self.store, (len, time, 7, 0))
            }
            b'h' => {
                let handle = self.export::<(u32, f64)>("crossfade_handle");
                handle.call(&mut self.store, (len, time))
            }
            b'r' => {
                let route = self.export::<(u32, u32)>("crossfade_route");
                route.call(&mut self.store, (len, other as u32)).expect("no trap");
                return;
            }
            b't' => self.export::<f64>("crossfade_tick").call(&mut self.store, time),
            b'o' => self.export::<()>("crossfade_totals").call(&mut self.store, ()),
            b'm' => self.export::<u32>("crossfade_merge").call(&mut self.store, len),
            b's' => self.export::<()>("crossfade_snapshot").call(&mut self.store, ()),
            b'e' => self.export::<u32>("crossfade_restore").call(&mut self.store, len),
            b'p' => self.export::<()>("crossfade_last_panic").call(&mut self.store, ()),
            b'v' => {
                let version = self.export::<()>("crossfade_abi_version");
                let version = version.call(&mut self.store, ()).expect("no trap");
                assert_eq!(version, 1, "the version changes");
                return;
            }
            _ => return,
        };
        let address = result.expect("no trap") as usize;
        assert!(verb != b'p' || address == 0, "it panicked");
        if address != 0 {
            self.read(address, verb == b's');
        }
    }

    fn write(&mut self, len: u32, input: &[u8]) {
        let reserve = self.export::<u32>("crossfade_input");
        let address = reserve.call(&mut self.store, len).expect("no trap") as usize;
        let memory = self.instance.get_memory(&mut self.store, "memory").expect("the ABI has it");
        if address == 0 {
            return assert!(len > 1 << 20, "no room for {len} bytes");
        }
        let fits = input.len().min(len as usize);
        memory.write(&mut self.store, address, &input[..fits]).expect("it is in its memory");
    }

    fn read(&mut self, address: usize, is_snapshot: bool) {
        let memory = self.instance.get_memory(&mut self.store, "memory").expect("the ABI has it");
        let data = memory.data(&self.store);
        let word = |at: usize| {
            let bytes = data.get(at..at + 4).expect("the record is in its memory");
            u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize
        };
        let (from, len) = (word(address), word(address + 4));
        let answer = data.get(from..from + len).expect("the answer is in its memory");
        if !is_snapshot || answer.starts_with(b"{\"type\":\"error\"") {
            assert!(answer.ends_with(b"\n"), "no whole line: {}", answer.escape_ascii());
        }
    }
}

/// The number that the text begins with, and what follows the space after it.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let digits = text[..end].iter();
    let number = digits.fold(0u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0')));
    (number, text[end..].strip_prefix(b" ").unwrap_or(&text[end..]))
}
