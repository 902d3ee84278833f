//! The native host of Crossfade: runs an engine compiled to WebAssembly, and every
//! command of the `crossfade` program.
//!
//! *Does:* load any module that speaks the ABI, keep it within its limits, bring it
//! back when it fails, and connect it to files, pipes, clocks and signals.
//!
//! *Does not:* decide, count or judge anything: that is the module's, also for the
//! commands that only ask a question. It never links the engine.
//!
//! [`Module`] is compiled code, [`Plugin`] a running engine:
//!
//! ```
//! use crossfade::{Module, Plugin, PluginOptions, Start};
//!
//! let start = Start { seed: 1234, ..Start::default() };
//! let (mut plugin, _) = Plugin::start(Module::builtin()?, PluginOptions::default(), start)?;
//! let replies = plugin.handle(b"{\"type\":\"get_users\",\"msg_id\":1,\"user_id\":\"u\"}\n", 0)?;
//! assert!(replies.ends_with(b"\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cache;
mod changes;
pub mod cli;
mod client;
mod clients;
mod commands;
#[cfg(test)]
mod corpus;
mod demo;
pub mod exit;
mod export;
mod import;
pub mod module;
pub mod node;
mod output;
mod page;
pub mod plugin;
pub mod policy;
mod question;
mod rehearse;
pub mod replay;
mod runtime;
mod serve;
pub mod signals;
mod simulate;
mod tables;
mod units;
pub mod yaml;
mod zones;

pub use cache::Cache;
pub use module::{Module, ModuleError};
pub use plugin::{Plugin, PluginError, PluginOptions, Start};
pub use question::AskError;

/// Holds the sketch of a host in the ABI's page to what compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/abi.md")]
mod abi_page {}
