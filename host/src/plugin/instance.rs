//! One running instance: the exports as typed functions, and its memory.
//!
//! *Does:* write the input, make the call, find the answer, and name what went wrong.
//! *Does not:* survive a fault; [`super::Plugin`] replaces it.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crossfade_protocol::abi::{self, RouteWord};
use wasmtime::{Memory, Store, Trap, TypedFunc, WasmParams, WasmResults};

use super::{Cause, Fault, PluginError, PluginOptions, Start, short};
use crate::module::Module;
use crate::runtime::{self, Limiter};

/// How much longer than a call the start, a snapshot or a restore may take: they
/// touch the whole state, and a service that cannot restore is worse than a slow one.
const LIFECYCLE_FACTOR: u32 = 30;

/// Room up to this size is not asked for anew: half of what a call with few bytes costs.
const ROOM_KEPT_BYTES: usize = 1 << 20;

/// Where an answer lies in the guest's memory, until the next call.
pub(super) type Answer = Range<usize>;

pub(super) struct Instance {
    store: Store<Limiter>,
    memory: Memory,
    /// Room in the guest's memory that holds until the next call of `crossfade_input`.
    room: Range<usize>,
    exports: Exports,
    call_limit: TimeLimit,
    lifecycle_limit: TimeLimit,
}

/// How long a call may take. The ticks are counted beforehand, for a call may be over in
/// less time than that division takes.
#[derive(Clone, Copy)]
struct TimeLimit {
    duration: Duration,
    ticks: u64,
}

impl TimeLimit {
    fn new(duration: Duration) -> TimeLimit {
        TimeLimit { duration, ticks: runtime::ticks(duration) }
    }
}

struct Exports {
    input: TypedFunc<u32, u32>,
    init: TypedFunc<(u32, f64, u32, u32), u32>,
    handle: TypedFunc<(u32, f64), u32>,
    route: TypedFunc<(u32, u32), u32>,
    tick: TypedFunc<f64, u32>,
    totals: TypedFunc<(), u32>,
    merge: TypedFunc<u32, u32>,
    snapshot: TypedFunc<(), u32>,
    restore: TypedFunc<u32, u32>,
    last_panic: TypedFunc<(), u32>,
}

impl Instance {
    /// Instantiates and starts. The answer of `crossfade_init` is given as bytes.
    pub(super) fn start(
        module: &Module,
        options: &PluginOptions,
        start: &Start,
    ) -> Result<(Instance, Vec<u8>), PluginError> {
        let mut instance = Instance::new(module, options)?;
        let answer = instance.init(start)?;
        let answer = instance.read(&answer).to_vec();
        Ok((instance, answer))
    }

    fn new(module: &Module, options: &PluginOptions) -> Result<Instance, PluginError> {
        let pre = module.pre();
        let call_limit = TimeLimit::new(options.call_deadline);
        let lifecycle_limit = TimeLimit::new(options.call_deadline * LIFECYCLE_FACTOR);
        let mut store = Store::new(pre.module().engine(), Limiter::new(options.memory_bytes_max));
        store.limiter(|limiter| limiter);
        store.set_epoch_deadline(lifecycle_limit.ticks);
        let instance = pre.instantiate(&mut store).map_err(|error| Fault {
            export: "start",
            cause: cause(&error, &store, lifecycle_limit.duration),
        })?;
        // `Module` has checked the names and types, so none of these can fail.
        let lacking = |error: wasmtime::Error| Fault {
            export: "start",
            cause: Cause::Runtime(format!("{error:#}")),
        };
        let memory = instance
            .get_memory(&mut store, abi::MEMORY)
            .ok_or_else(|| lacking(wasmtime::Error::msg("no memory")))?;
        let exports = Exports {
            input: instance.get_typed_func(&mut store, abi::INPUT).map_err(lacking)?,
            init: instance.get_typed_func(&mut store, abi::INIT).map_err(lacking)?,
            handle: instance.get_typed_func(&mut store, abi::HANDLE).map_err(lacking)?,
            route: instance.get_typed_func(&mut store, abi::ROUTE).map_err(lacking)?,
            tick: instance.get_typed_func(&mut store, abi::TICK).map_err(lacking)?,
            totals: instance.get_typed_func(&mut store, abi::TOTALS).map_err(lacking)?,
            merge: instance.get_typed_func(&mut store, abi::MERGE).map_err(lacking)?,
            snapshot: instance.get_typed_func(&mut store, abi::SNAPSHOT).map_err(lacking)?,
            restore: instance.get_typed_func(&mut store, abi::RESTORE).map_err(lacking)?,
            last_panic: instance.get_typed_func(&mut store, abi::LAST_PANIC).map_err(lacking)?,
        };
        Ok(Instance { store, memory, room: 0..0, exports, call_limit, lifecycle_limit })
    }

    fn init(&mut self, start: &Start) -> Result<Answer, PluginError> {
        let len = self.write(abi::INIT, &start.document)?;
        let seed = (start.seed as u32, (start.seed >> 32) as u32);
        let arguments = (len, start.now_ms as f64, seed.0, seed.1);
        self.lifecycle(abi::INIT, |exports| &exports.init, arguments)
    }

    pub(super) fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<Answer, PluginError> {
        let len = self.write(abi::HANDLE, lines)?;
        let record = self.call(abi::HANDLE, |exports| &exports.handle, (len, now_ms as f64))?;
        Ok(self.answer(abi::HANDLE, record)?)
    }

    #[inline]
    pub(super) fn route(&mut self, key: &[u8], draw: u32) -> Result<RouteWord, PluginError> {
        let len = self.write(abi::ROUTE, key)?;
        let word = self.call(abi::ROUTE, |exports| &exports.route, (len, draw))?;
        Ok(RouteWord(word))
    }

    pub(super) fn tick(&mut self, now_ms: u64) -> Result<Answer, PluginError> {
        let record = self.call(abi::TICK, |exports| &exports.tick, now_ms as f64)?;
        Ok(self.answer(abi::TICK, record)?)
    }

    pub(super) fn totals(&mut self) -> Result<Answer, PluginError> {
        self.lifecycle(abi::TOTALS, |exports| &exports.totals, ())
    }

    pub(super) fn merge(&mut self, totals: &[u8]) -> Result<Answer, PluginError> {
        let len = self.write(abi::MERGE, totals)?;
        let record = self.call(abi::MERGE, |exports| &exports.merge, len)?;
        Ok(self.answer(abi::MERGE, record)?)
    }

    pub(super) fn snapshot(&mut self) -> Result<Answer, PluginError> {
        self.lifecycle(abi::SNAPSHOT, |exports| &exports.snapshot, ())
    }

    /// Takes a snapshot back; an answer is the guest's refusal.
    pub(super) fn restore(&mut self, snapshot: &[u8]) -> Result<(), PluginError> {
        let len = self.write(abi::RESTORE, snapshot)?;
        let answer = self.lifecycle(abi::RESTORE, |exports| &exports.restore, len)?;
        match self.read(&answer) {
            [] => Ok(()),
            refusal => Err(PluginError::Refused {
                export: abi::RESTORE,
                answer: String::from_utf8_lossy(refusal).trim_end().to_owned(),
            }),
        }
    }

    /// The bytes of an answer. Only valid for the answer of the latest call.
    pub(super) fn read(&self, answer: &Answer) -> &[u8] {
        self.memory.data(&self.store).get(answer.clone()).unwrap_or_default()
    }

    /// Has the guest reserve room, and fills it.
    #[inline(always)]
    fn write(&mut self, export: &'static str, input: &[u8]) -> Result<u32, PluginError> {
        // A guest may give up room that was made for something large when it is asked
        // again; so it is, and small room is used over and over.
        if input.len() > self.room.len() || self.room.len() > ROOM_KEPT_BYTES {
            self.make_room(export, input.len())?;
        }
        let start = self.room.start;
        let room = self.memory.data_mut(&mut self.store).get_mut(start..start + input.len());
        let Some(room) = room else { return Err(outside(start, input.len())) };
        short::copy(input, room);
        Ok(input.len() as u32)
    }

    #[cold]
    fn make_room(&mut self, export: &'static str, bytes: usize) -> Result<(), PluginError> {
        if bytes == 0 {
            return Ok(());
        }
        let too_large = PluginError::InputTooLarge { export, bytes };
        let Ok(len) = u32::try_from(bytes) else { return Err(too_large) };
        let address = self.call(abi::INPUT, |exports| &exports.input, len)?;
        if address == 0 {
            return Err(too_large);
        }
        self.room = address as usize..address as usize + bytes;
        Ok(())
    }

    fn lifecycle<P: WasmParams>(
        &mut self,
        export: &'static str,
        function: fn(&Exports) -> &TypedFunc<P, u32>,
        arguments: P,
    ) -> Result<Answer, PluginError> {
        let record = self.call_within(self.lifecycle_limit, export, function, arguments)?;
        Ok(self.answer(export, record)?)
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        export: &'static str,
        function: fn(&Exports) -> &TypedFunc<P, R>,
        arguments: P,
    ) -> Result<R, Fault> {
        self.call_within(self.call_limit, export, function, arguments)
    }

    #[inline(always)]
    fn call_within<P: WasmParams, R: WasmResults>(
        &mut self,
        limit: TimeLimit,
        export: &'static str,
        function: fn(&Exports) -> &TypedFunc<P, R>,
        arguments: P,
    ) -> Result<R, Fault> {
        self.store.set_epoch_deadline(limit.ticks);
        match function(&self.exports).call(&mut self.store, arguments) {
            Ok(results) => Ok(results),
            Err(error) => Err(self.fault(limit, export, &error)),
        }
    }

    #[cold]
    fn fault(&mut self, limit: TimeLimit, export: &'static str, error: &wasmtime::Error) -> Fault {
        let cause = cause(error, &self.store, limit.duration);
        let panic = matches!(cause, Cause::Trap(Trap::UnreachableCodeReached))
            .then(|| self.last_panic())
            .flatten();
        Fault { export, cause: panic.map_or(cause, Cause::Panic) }
    }

    /// Follows a result record `[address, length]`.
    fn answer(&self, export: &'static str, record: u32) -> Result<Answer, Fault> {
        if record == 0 {
            return Ok(0..0);
        }
        let memory = self.memory.data(&self.store);
        let word = |at: usize| {
            let bytes: [u8; 4] = memory.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        let outside = |address, len| Fault { export, cause: Cause::Answer { address, len } };
        let (Some(address), Some(len)) = (word(record as usize), word(record as usize + 4)) else {
            return Err(outside(record, 8));
        };
        let answer = address as usize..address as usize + len as usize;
        match memory.get(answer.clone()) {
            Some(_) => Ok(answer),
            None => Err(outside(address, len)),
        }
    }

    /// The panic message of an instance that has trapped, on one line.
    fn last_panic(&mut self) -> Option<String> {
        self.store.set_epoch_deadline(self.call_limit.ticks);
        let record = self.exports.last_panic.call(&mut self.store, ()).ok()?;
        let answer = self.answer(abi::LAST_PANIC, record).ok()?;
        let message = self.read(&answer);
        let message = String::from_utf8_lossy(message.get(..MESSAGE_BYTES_MAX).unwrap_or(message));
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        (!message.is_empty()).then_some(message)
    }
}

#[cold]
fn outside(start: usize, len: usize) -> PluginError {
    let cause = Cause::Answer { address: start as u32, len: len as u32 };
    Fault { export: abi::INPUT, cause }.into()
}

/// A guest's panic message is cut here; `crossfade_core::guest` writes at most this.
const MESSAGE_BYTES_MAX: usize = 1024;

fn cause(error: &wasmtime::Error, store: &Store<Limiter>, deadline: Duration) -> Cause {
    let limiter = store.data();
    if let Some(asked_bytes) = limiter.refused_bytes {
        return Cause::Memory { asked_bytes, bytes_max: limiter.memory_bytes_max() };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Cause::Deadline(deadline),
        Some(Trap::StackOverflow) => Cause::Stack,
        Some(trap) => Cause::Trap(*trap),
        None => Cause::Runtime(format!("{error:#}")),
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("memory_bytes", &self.memory.data_size(&self.store))
            .finish_non_exhaustive()
    }
}
