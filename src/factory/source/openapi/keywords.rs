//! Keywords of JSON Schema by what stands behind them.

/// Types of JSON Schema.
pub(super) const TYPES: [&str; 7] =
    ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Keywords whose value is a schema.
pub(super) const SCHEMA: [&str; 9] = [
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
];

/// Keywords whose value is a list of schemas.
pub(super) const LISTS: [&str; 3] = ["oneOf", "anyOf", "prefixItems"];

/// Keywords whose value is a map of schemas.
pub(super) const MAPS: [&str; 2] = ["patternProperties", "dependentSchemas"];

/// Keywords that are copied.
pub(super) const COPIED: [&str; 19] = [
    "title",
    "enum",
    "const",
    "default",
    "format",
    "multipleOf",
    "maximum",
    "minimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "contentEncoding",
    "contentMediaType",
    "dependentRequired",
];
