//! What the server says about itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{Icon, Implementation};

/// A drawing board with a sheet, in one colour that reads on light and dark.
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="3" y="4" width="26" height="18" rx="3" fill="#c2410c"/><path d="M9 9h14M9 13h9" stroke="#fff7ed" stroke-width="2.4" stroke-linecap="round"/><path d="M11 22 7 29M21 22l4 7" stroke="#c2410c" stroke-width="2.6" stroke-linecap="round"/></svg>"##;

/// What a model reads before its first call.
pub(super) const INSTRUCTIONS: &str = "\
Atelier makes things and hosts them: web apps, documents, code. Each tool's description says when \
to use it and when not.

Results carry `status`:
- `success` or `warning`: done. Give the user the `url` when there is one.
- `running`: the work goes on. Call `get_job` with the `job_id` until it returns the result; \
`cancel_job` stops it.
- `needs_completion`: no model is configured, so you write the text. Follow `prompt.system` and \
`prompt.user` exactly, then call `submit_completion` with the `handle` and your text alone; its \
answer is the result of the first call, or the same question again with what was wrong.

A failed call has `code`, `message` and `hint`: follow the hint instead of repeating the call. \
Any string argument may be `@@ref_<call_id>__<path>`: a value of an earlier result, so that long \
texts need not be repeated.";

/// Name, title, version and icon.
pub(super) fn implementation() -> Implementation {
    Implementation::new("atelier", env!("CARGO_PKG_VERSION"))
        .with_title("Atelier")
        .with_description(env!("CARGO_PKG_DESCRIPTION"))
        .with_icons(vec![icon()])
}

/// The icon as a `data:` address: clients need not fetch anything.
pub(super) fn icon() -> Icon {
    Icon::new(format!("data:image/svg+xml;base64,{}", STANDARD.encode(ICON)))
        .with_mime_type("image/svg+xml")
        .with_sizes(vec!["any".to_owned()])
}
