//! Reads Chrome's messages, where anything may be missing.

use serde_json::Value;

/// Parts of a value; what is not there is null.
pub(in crate::browser) trait Fields {
    fn field(&self, name: &str) -> &Value;
    fn first_item(&self) -> &Value;
}

impl Fields for Value {
    fn field(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }

    fn first_item(&self) -> &Value {
        self.get(0).unwrap_or(&Value::Null)
    }
}

/// Adds a field to an object.
pub(in crate::browser) fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}
