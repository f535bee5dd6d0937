//! A scripted model server for tests. It is never shipped.
//!
//! [`FakeLlm`] listens on a loopback port of its own and answers on the real wires of the model
//! vendors: Gemini `generateContent` and Interactions, Anthropic Messages, OpenAI chat completions
//! and Responses, Ollama. One neutral [`Script`] serves them all; [`Fault`]s spoil the answer down
//! to single bytes. HTTP is written by hand on a plain socket, because server libraries do not let
//! a test cut a body, tear a character or reset a connection.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use fake_llm::{Fault, FakeLlm, Reply, Rule, Script};
//! use serde_json::json;
//!
//! let server = FakeLlm::start(
//!     Script::new()
//!         .rule(Rule::reply(Reply::empty()).fault(Fault::status_retry_after(429, "2")).times(1))
//!         .rule(Rule::reply(Reply::tool_call("call_1", "add", json!({"a": 1}))).times(1))
//!         .rule(Rule::compute(|request| {
//!             Reply::text(format!("the tool said {:?}", request.tool_result))
//!         })),
//! )
//! .await?;
//! // Point a client at `server.base_url()` and let it talk, then:
//! server.assert_all_matched();
//! assert_eq!(server.model_requests().len(), 3);
//! # Ok(())
//! # }
//! ```
//!
//! # Honesty
//!
//! The encoders send what the vendors send, not what a client library happens to accept: a Gemini
//! tool call ends with `STOP`, an OpenAI stream has usage only on request, a Responses refusal
//! completes normally. `tests/fixtures/shapes.json` holds the keys seen in recordings of the real
//! services, and a test compares every event with them. What a wire cannot express (an Ollama
//! safety stop, a cut inside a character of an ASCII answer) is not invented: the request gets a
//! 500, [`FakeLlm::problems`] names the cause and [`FakeLlm::assert_all_matched`] fails.
//!
//! Not recorded, but taken from the vendors' documents: refusals, blocked prompts, safety stops,
//! error bodies and error events.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed, and those answer null for what is missing"
)]

mod capture;
mod connection;
mod cut;
mod encode;
mod fault;
mod http;
mod plan;
mod reply;
mod script;
mod server;
mod vendor;

pub use capture::{CapturedRequest, Outcome};
pub use fault::{ErrorForm, Fault, HttpEnd, LineEnding};
pub use reply::{Arguments, Part, Reply, Stop, ToolCall, Usage, UsageReport};
pub use script::{Answer, ListedModel, Match, Rule, Script};
pub use server::FakeLlm;
pub use vendor::Vendor;
