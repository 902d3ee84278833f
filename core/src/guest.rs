//! What a WebAssembly module needs to speak the ABI: buffers, a panic message, and
//! [`export_abi!`](crate::export_abi), which writes the exports into *its caller's*
//! crate. No export lives in this library, so linking it adds none.
//!
//! All memory is the guest's own. The host writes only where `crossfade_input` told
//! it to, and reads only what a result record points at; the guest never follows a
//! pointer it was given, so nothing here is `unsafe`.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::limits::INPUT_BYTES_MAX;

/// What answers behind the exports.
///
/// `out` arrives empty. Times are unix milliseconds, or those of a virtual clock.
pub trait Guest: Sized {
    /// Starts from an init document (may be empty). A bad document is reported in
    /// `out` and the defaults are used.
    fn init(document: &[u8], now_ms: u64, seed: u64, out: &mut Vec<u8>) -> Self;
    /// Serves JSON lines.
    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>);
    /// Decides for one key without JSON.
    fn route(&mut self, key: &[u8], draw: u32) -> RouteWord;
    /// Lets time act.
    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>);
    /// Writes this instance's totals.
    fn totals(&mut self, out: &mut Vec<u8>);
    /// Takes in another node's totals.
    fn merge(&mut self, totals: &[u8], out: &mut Vec<u8>);
    /// Writes the whole state.
    fn snapshot(&mut self, out: &mut Vec<u8>);
    /// Reads a state back; an error line in `out`, and nothing changed, if it cannot.
    fn restore(&mut self, snapshot: &[u8], out: &mut Vec<u8>);
}

/// One module instance: the engine and its two buffers.
#[derive(Debug)]
pub struct Instance<G>(RefCell<Parts<G>>);

#[derive(Debug)]
struct Parts<G> {
    engine: Option<G>,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// `[address, length]` of the output, at a fixed address.
static RESULT: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

const PANIC_BYTES_MAX: usize = 1024;
static PANIC: [AtomicU32; PANIC_BYTES_MAX / 4] = [const { AtomicU32::new(0) }; PANIC_BYTES_MAX / 4];
static PANIC_LEN: AtomicUsize = AtomicUsize::new(0);

impl<G: Guest> Instance<G> {
    /// An instance that has not been started.
    pub const fn new() -> Instance<G> {
        Instance(RefCell::new(Parts { engine: None, input: Vec::new(), output: Vec::new() }))
    }

    /// See [`abi::INPUT`](crossfade_protocol::abi::INPUT).
    pub fn input(&self, len: u32) -> u32 {
        let len = len as usize;
        if len > INPUT_BYTES_MAX {
            return 0;
        }
        let input = &mut self.0.borrow_mut().input;
        // A buffer that once held a snapshot is not kept for lines.
        if input.capacity() > (16 << 20) && len < input.capacity() / 4 {
            *input = Vec::new();
        }
        if input.len() < len {
            input.resize(len, 0);
        }
        // An empty Vec has a dangling but non-zero address; the host writes nothing there.
        input.as_ptr() as usize as u32
    }

    /// See [`abi::INIT`](crossfade_protocol::abi::INIT).
    pub fn init(&self, len: u32, now_ms: f64, seed_lo: u32, seed_hi: u32) -> u32 {
        install_panic_hook();
        let seed = u64::from(seed_hi) << 32 | u64::from(seed_lo);
        self.answer(|engine, input, out| {
            let document = input.get(..len as usize).unwrap_or_default();
            *engine = Some(G::init(document, time_ms(now_ms), seed, out));
        })
    }

    /// See [`abi::HANDLE`](crossfade_protocol::abi::HANDLE).
    pub fn handle(&self, len: u32, now_ms: f64) -> u32 {
        self.with(|engine, input, out| {
            engine.handle(input.get(..len as usize).unwrap_or_default(), time_ms(now_ms), out);
        })
    }

    /// See [`abi::ROUTE`](crossfade_protocol::abi::ROUTE).
    #[inline(always)]
    pub fn route(&self, len: u32, draw: u32) -> u32 {
        let Parts { engine, input, .. } = &mut *self.0.borrow_mut();
        match (engine, input.get(..len as usize)) {
            (Some(engine), Some(key)) => engine.route(key, draw).0,
            _ => RouteWord::CANNOT.0,
        }
    }

    /// See [`abi::TICK`](crossfade_protocol::abi::TICK).
    pub fn tick(&self, now_ms: f64) -> u32 {
        self.with(|engine, _, out| engine.tick(time_ms(now_ms), out))
    }

    /// See [`abi::TOTALS`](crossfade_protocol::abi::TOTALS).
    pub fn totals(&self) -> u32 {
        self.with(|engine, _, out| engine.totals(out))
    }

    /// See [`abi::MERGE`](crossfade_protocol::abi::MERGE).
    pub fn merge(&self, len: u32) -> u32 {
        self.with(|engine, input, out| {
            engine.merge(input.get(..len as usize).unwrap_or_default(), out);
        })
    }

    /// See [`abi::SNAPSHOT`](crossfade_protocol::abi::SNAPSHOT).
    pub fn snapshot(&self) -> u32 {
        self.with(|engine, _, out| engine.snapshot(out))
    }

    /// See [`abi::RESTORE`](crossfade_protocol::abi::RESTORE).
    pub fn restore(&self, len: u32) -> u32 {
        self.with(|engine, input, out| {
            engine.restore(input.get(..len as usize).unwrap_or_default(), out);
        })
    }

    fn with(&self, call: impl FnOnce(&mut G, &[u8], &mut Vec<u8>)) -> u32 {
        self.answer(|engine, input, out| match engine {
            Some(engine) => call(engine, input, out),
            None => out.extend_from_slice(
                b"{\"type\":\"error\",\"code\":11,\"text\":\"crossfade_init has not been called\"}\n",
            ),
        })
    }

    fn answer(&self, call: impl FnOnce(&mut Option<G>, &[u8], &mut Vec<u8>)) -> u32 {
        let Parts { engine, input, output: out } = &mut *self.0.borrow_mut();
        // Only a snapshot grows the buffer this far; do not keep that much for replies.
        if out.capacity() > (64 << 20) {
            *out = Vec::new();
        }
        out.clear();
        call(engine, input, out);
        if out.is_empty() {
            return 0;
        }
        RESULT[0].store(out.as_ptr() as usize as u32, Ordering::Relaxed);
        RESULT[1].store(out.len() as u32, Ordering::Relaxed);
        RESULT.as_ptr() as usize as u32
    }
}

impl<G: Guest> Default for Instance<G> {
    fn default() -> Self {
        Instance::new()
    }
}

/// See [`abi::LAST_PANIC`](crossfade_protocol::abi::LAST_PANIC). Works after a trap:
/// it touches nothing but statics.
pub fn last_panic() -> u32 {
    let len = PANIC_LEN.load(Ordering::Relaxed);
    if len == 0 {
        return 0;
    }
    RESULT[0].store(PANIC.as_ptr() as usize as u32, Ordering::Relaxed);
    RESULT[1].store(len as u32, Ordering::Relaxed);
    RESULT.as_ptr() as usize as u32
}

/// With `panic = "abort"` a panic is a trap without words; the hook leaves them in a
/// fixed buffer first. It allocates nothing, for the panic may be about memory.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let mut text = Fixed { bytes: [0; PANIC_BYTES_MAX], len: 0 };
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{info}"));
        for (word, four) in PANIC.iter().zip(text.bytes.chunks_exact(4)) {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(four);
            word.store(u32::from_le_bytes(bytes), Ordering::Relaxed);
        }
        PANIC_LEN.store(text.len, Ordering::Relaxed);
    }));
}

struct Fixed {
    bytes: [u8; PANIC_BYTES_MAX],
    len: usize,
}

impl std::fmt::Write for Fixed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// A time from across the border. NaN, negative and absurd values become the nearest
/// sensible one: a wrong clock must not stop an engine.
pub fn time_ms(now_ms: f64) -> u64 {
    // `as` saturates, and turns NaN into 0.
    (now_ms as u64).min(crossfade_protocol::limits::TIME_MS_MAX)
}

/// Writes the ABI's exports into the calling crate, for the [`Guest`] named.
///
/// ```no_run
/// crossfade_core::export_abi!(crossfade_core::Engine);
/// ```
#[macro_export]
macro_rules! export_abi {
    ($engine:ty, vectors: $vectors:expr) => {
        $crate::export_abi!($engine);
        // SAFETY: for wasm this names a custom section, which is no part of the memory and
        // which nothing reads while the module runs.
        #[cfg_attr(target_family = "wasm", unsafe(link_section = "crossfade.vectors"))]
        static VECTORS: [u8; { const BYTES: &[u8] = $vectors; BYTES.len() }] = *$vectors;
    };
    ($engine:ty) => {
        thread_local! {
            static INSTANCE: $crate::guest::Instance<$engine> =
                const { $crate::guest::Instance::new() };
        }
        $crate::export_abi! { @functions
            crossfade_abi_version() -> u32 { $crate::protocol::abi::ABI_VERSION }
            crossfade_input(len: u32) -> u32 { INSTANCE.with(|i| i.input(len)) }
            crossfade_init(len: u32, now_ms: f64, seed_lo: u32, seed_hi: u32) -> u32 {
                INSTANCE.with(|i| i.init(len, now_ms, seed_lo, seed_hi))
            }
            crossfade_handle(len: u32, now_ms: f64) -> u32 { INSTANCE.with(|i| i.handle(len, now_ms)) }
            crossfade_route(len: u32, draw: u32) -> u32 { INSTANCE.with(|i| i.route(len, draw)) }
            crossfade_tick(now_ms: f64) -> u32 { INSTANCE.with(|i| i.tick(now_ms)) }
            crossfade_totals() -> u32 { INSTANCE.with(|i| i.totals()) }
            crossfade_merge(len: u32) -> u32 { INSTANCE.with(|i| i.merge(len)) }
            crossfade_snapshot() -> u32 { INSTANCE.with(|i| i.snapshot()) }
            crossfade_restore(len: u32) -> u32 { INSTANCE.with(|i| i.restore(len)) }
            crossfade_last_panic() -> u32 { $crate::guest::last_panic() }
        }
    };
    (@functions $($name:ident($($arg:ident: $ty:ty),*) -> u32 $body:block)*) => {
        $(
            // SAFETY: the name is prefixed and exported once per module, so it cannot
            // clash with another symbol; the function itself is safe code.
            #[unsafe(no_mangle)]
            extern "C" fn $name($($arg: $ty),*) -> u32 $body
        )*
    };
}
