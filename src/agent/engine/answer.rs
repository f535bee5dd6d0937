//! Whether a final answer is what was asked for.

use serde_json::Value;

use crate::agent::json::value_from_reply;

/// Faults that one repair round names.
const NAMED_FAULTS: usize = 10;

/// The value in an answer, when it fits the schema.
///
/// # Errors
/// What is wrong, in words for the model.
pub(super) fn structured(text: &str, schema: &Value) -> Result<Value, Vec<String>> {
    let value = value_from_reply(text).map_err(|problem| vec![problem.to_string()])?;
    // The schema was checked when the run began.
    let Ok(validator) = jsonschema::validator_for(schema) else { return Ok(value) };
    let faults: Vec<String> = validator
        .iter_errors(&value)
        .take(NAMED_FAULTS)
        .map(|fault| {
            let place = fault.instance_path().to_string();
            let place =
                if place.is_empty() { "the value".to_owned() } else { format!("`{place}`") };
            let text: String = fault.to_string().chars().take(300).collect();
            format!("{place}: {text}")
        })
        .collect();
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}
