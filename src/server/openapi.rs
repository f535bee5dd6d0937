//! The OpenAPI description of the HTTP API.

use serde_json::{Map, Value, json};

use crate::registry::Tool;

/// OpenAPI 3.1 over these tools.
pub(super) fn document<'a>(tools: impl Iterator<Item = &'a Tool>) -> Value {
    let mut paths = Map::new();
    for tool in tools {
        paths.insert(format!("/api/tools/{}", tool.name), json!({"post": operation(tool)}));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Atelier",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": error_schema()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        // Either is enough: a server without tokens asks for none.
        "security": [{"token": []}, {}],
    })
}

fn operation(tool: &Tool) -> Value {
    let json_of = |schema: &Value| json!({"application/json": {"schema": schema}});
    let error = |description: &str| {
        json!({
            "description": description,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        })
    };
    json!({
        "operationId": tool.name,
        "summary": tool.title,
        "description": tool.description,
        "tags": [tool.toolset.as_str()],
        "parameters": [{
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "Marks repetitions of the same call",
            "schema": {"type": "string"},
        }],
        "requestBody": {"required": true, "content": json_of(&tool.input_schema)},
        "responses": {
            "200": {"description": "The result", "content": json_of(&tool.output_schema)},
            "202": {
                "description": "The call goes on as a job: ask get_job for its result",
                "content": json_of(&tool.output_schema),
            },
            "400": error("The arguments do not fit"),
            "401": error("No token, or an unknown one"),
            "403": error("The caller may not do this"),
            "404": error("What the arguments name does not exist"),
            "409": error("Something changed in between"),
            "413": error("Too much"),
            "429": error("Too many calls"),
            "500": error("The server could not finish the call"),
            "503": error("Something that the call needs is away"),
        },
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status", "code", "message"],
        "properties": {
            "status": {"type": "string", "enum": ["error"]},
            "code": {"type": "string", "description": "Stable code"},
            "message": {"type": "string"},
            "hint": {"type": "string", "description": "What to do about it"},
            "retry_after_s": {"type": "number"},
        },
    })
}
