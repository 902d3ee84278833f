//! A proxy-wasm filter that does nothing: what any filter costs an Envoy.
//!
//! *Does:* let Envoy call it for the headers of each request and each answer.
//! *Does not:* call Envoy.

#![allow(missing_docs, reason = "the macro makes a function that Envoy alone calls")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {}
