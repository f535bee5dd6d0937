"""Whether a value fits a schema of a description, by a validator that is nobody's own."""

from __future__ import annotations

from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from standard import Document
from values import File

NAMES = {"null", "boolean", "object", "array", "number", "string", "integer"}


class Checker:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.registries: dict[bool, Any] = {}

    def fits(self, schema: Any, value: Any, strict: bool) -> bool:
        """Not strict: several branches of `oneOf` may take the value. Descriptions whose branches
        overlap are common; what tells them apart is their discriminator, which no validator reads."""
        converted = convert(schema, self.document.edition, strict)
        # A description in which everything is resolved is huge, and nothing has to be found in it.
        registry = self.registry(strict) if refers(converted) else Registry()
        try:
            validator = jsonschema.Draft202012Validator(converted, registry=registry)
            return validator.is_valid(without_files(value))
        except Exception:  # noqa: BLE001 - a schema that is none says nothing about the value
            return True

    def registry(self, strict: bool) -> Any:
        if strict not in self.registries:
            whole = Resource(contents=convert(self.document.root, self.document.edition, strict), specification=DRAFT202012)
            self.registries[strict] = Registry().with_resource("urn:document", whole)
        return self.registries[strict]


def refers(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(refers, value))
    return isinstance(value, dict) and (isinstance(value.get("$ref"), str) or any(map(refers, value.values())))


def without_files(value: Any) -> Any:
    if isinstance(value, File):
        return "file"
    if isinstance(value, dict):
        return {key: without_files(item) for key, item in value.items()}
    return [without_files(item) for item in value] if isinstance(value, list) else value


def convert(value: Any, edition: int, strict: bool) -> Any:
    """JSON Schema 2020-12 for requests, of whatever edition."""
    if isinstance(value, list):
        return [convert(item, edition, strict) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        target = {"$ref": "urn:document" + reference}
        if edition != 31:
            return target
        return {**{key: convert(item, edition, strict) for key, item in value.items() if key != "$ref"}, **target}
    result = {key: convert(item, edition, strict) for key, item in value.items()}
    if not strict and isinstance(result.get("oneOf"), list) and "anyOf" not in result:
        result["anyOf"] = result.pop("oneOf")
    properties = value.get("properties")
    if isinstance(properties, dict) and isinstance(value.get("required"), list):
        result["required"] = [name for name in value["required"] if not (isinstance(properties.get(name), dict) and properties[name].get("readOnly") is True)]
    kind = value.get("type")
    if isinstance(kind, str) and kind not in NAMES:
        result.pop("type")
    for key, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(value.get(key), bool):
            result.pop(key)
            if value[key] and limit in result:
                result[key] = result.pop(limit)
    if isinstance(value.get("required"), bool):
        result.pop("required")
    if isinstance(value.get("items"), list):
        result["prefixItems"] = result.pop("items")
    if value.get("nullable") is True or value.get("x-nullable") is True:
        result.pop("nullable", None)
        return {"anyOf": [result, {"type": "null"}]}
    return result
