"""Writes a description of 20 MB with 11,000 operations: `large.py FILE`. The same every time."""

import json
import sys

PATHS = 5500
SCHEMAS = 1200
WORDS = "what the caller of this operation has to know about it before anything is sent anywhere".split()


def text(number: int, words: int) -> str:
    return " ".join(WORDS[(number * 7 + index * 3) % len(WORDS)] for index in range(words))


def reference(number: int) -> dict:
    return {"$ref": f"#/components/schemas/Thing{number % SCHEMAS}"}


def schema(number: int) -> dict:
    properties = {
        f"field_{index}": {"type": ["string", "integer", "boolean", "number"][index % 4], "description": text(number + index, 14)}
        for index in range(12)
    }
    # Every schema leads to others and in the end back to itself.
    properties["next"] = reference(number + 1)
    properties["many"] = {"type": "array", "items": reference(number * 3 + 1)}
    return {"type": "object", "required": ["field_0"], "properties": properties, "description": text(number, 30)}


def parameter(name: str, place: str, number: int) -> dict:
    return {"name": name, "in": place, "required": place == "path", "description": text(number, 24), "schema": {"type": "string"}}


def operation(number: int, method: str) -> dict:
    made = {
        "operationId": f"{method}Thing{number}",
        "tags": [f"group{number % 40}"],
        "summary": text(number, 8),
        "description": text(number + 1, 60),
        "parameters": [parameter("id", "path", number), *[parameter(f"option_{index}", "query", number + index) for index in range(4)]],
        "responses": {"200": {"description": "fine", "content": {"application/json": {"schema": reference(number)}}}},
    }
    if method == "post":
        made["requestBody"] = {"content": {"application/json": {"schema": reference(number + 5)}}}
    return made


document = {
    "openapi": "3.0.3",
    "info": {"title": "Large", "version": "1"},
    "servers": [{"url": "https://large.example.com"}],
    "paths": {f"/group/{number}/{{id}}": {method: operation(number, method) for method in ("get", "post")} for number in range(PATHS)},
    "components": {"schemas": {f"Thing{number}": schema(number) for number in range(SCHEMAS)}},
}
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(document, file)
