//! Other MCP servers: started on first use, supervised, closed cleanly.
//!
//! The flow: [`Servers`] knows the servers by name -> a `Server` starts one when it is
//! needed, once, with back-off after failures -> a [`Connector`] makes a [`ToolClient`] over a
//! child's pipes ([`stdio`]) or HTTP ([`http`]) -> its tools are named `server__tool`
//! (`names`) -> results become ours (`result`).
//!
//! Whatever a server does (it hangs, dies, floods, lies) costs the call that met it an error. The
//! next call finds the server working again, if need be after a restart.

mod asking;
mod connection;
mod error;
mod handler;
pub mod http;
mod launch;
mod lines;
mod names;
mod result;
mod server;
mod servers;
pub mod stdio;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

pub use asking::{Speaker, TextPart, TextWish, Texts, WrittenText};
pub use error::ClientError;
pub use launch::{Launch, Launched, LocalLaunch, Process};
pub use servers::{ServerState, ServerStatus, Servers, ServersParts};

use crate::config::mcp_servers::{Protocol, ServerSpec};
use crate::jobs::ProgressSink;
use crate::registry::CallerPerson;

/// A tool as its server lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTool {
    /// Its name there.
    pub name: String,
    /// Title for people.
    pub title: Option<String>,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
    /// JSON Schema of its structured result.
    pub output_schema: Option<Value>,
    /// What the server claims about it.
    pub hints: crate::registry::Hints,
}

/// What a tool answered with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolAnswer {
    /// Content blocks, as they came.
    pub content: Vec<Value>,
    /// Structured result.
    pub structured: Option<Value>,
    /// Whether the tool says that it failed.
    pub is_error: bool,
}

/// The tools of a server, and what was odd about the list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolListing {
    /// The tools.
    pub tools: Vec<ListedTool>,
    /// The version of the protocol that is spoken.
    pub protocol_version: String,
    /// Whether there was more than is taken.
    pub is_cut: bool,
}

/// Who makes a call: where its progress goes, and whom the server may ask.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// Where progress goes.
    pub progress: ProgressSink,
    /// The person in front of the client that calls, where there is one.
    pub person: Option<Arc<dyn CallerPerson>>,
}

/// A connection to one server. Dropped, it is closed the hard way.
#[async_trait]
pub trait ToolClient: Send + Sync + 'static {
    /// Its tools, all pages of them.
    async fn list(&self) -> Result<ToolListing, ClientError>;

    /// Calls a tool. When the future is dropped, the server is told that the call is off.
    async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        from: &Asker,
    ) -> Result<ToolAnswer, ClientError>;

    /// Asks for a sign of life.
    async fn ping(&self) -> Result<(), ClientError>;

    /// Whether the connection has ended by itself, and how.
    fn ended(&self) -> Option<String>;

    /// How often the server has said that its tools changed.
    fn list_changes(&self) -> u64;

    /// Whether the old protocol is spoken, which is worth remembering for the next start.
    fn is_legacy(&self) -> bool;

    /// Ends it: politely, then by force. Nothing of it is left afterwards.
    async fn close(&self);
}

/// Makes connections.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Starts a server, or connects to it, and waits until it is ready for calls.
    async fn connect(
        &self,
        name: &str,
        spec: &ServerSpec,
        protocol: Protocol,
    ) -> Result<Box<dyn ToolClient>, ClientError>;
}
