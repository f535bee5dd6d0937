//! Names of the trace attributes of a model call, from OpenTelemetry's conventions for generative
//! AI. They are still in development there, so they stand in one place.

/// What was done: always `chat`.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Who was asked.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The model that was asked.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// Tokens read.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens written.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Why the model stopped.
pub const FINISH_REASON: &str = "gen_ai.response.finish_reasons";
/// Code of the error that ended the call.
pub const ERROR_TYPE: &str = "error.type";
/// Name of the span as exporters show it: `chat {model}`.
pub const SPAN_NAME: &str = "otel.name";
/// Our route to the model.
pub const ROUTE: &str = "atelier.llm.route";
/// Requests made, failed ones included.
pub const TRIES: &str = "atelier.llm.tries";
