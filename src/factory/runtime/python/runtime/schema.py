"""Schemas of tools: complete for clients, and checked before anything is sent."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator

from .errors import ToolFailure


def reachable(schema: Any, defs: dict[str, Any]) -> dict[str, Any]:
    """The shared schemas that this one leads to; a loop, since they may be deep."""
    found: dict[str, Any] = {}
    stack = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str) and target.startswith("#/$defs/"):
                name = target[len("#/$defs/"):]
                if name not in found and name in defs:
                    found[name] = defs[name]
                    stack.append(defs[name])
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return found


def complete(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    used = reachable(schema, defs)
    # In the order of the file, so that the same server always says the same.
    return {**schema, "$defs": {name: defs[name] for name in defs if name in used}} if used else schema


def checkable(schema: Any) -> Any:
    """A copy without patterns that Python cannot compile, and without formats."""
    if isinstance(schema, dict):
        copy = {}
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str) and not compiles(value):
                continue
            if key in ("properties", "$defs") and isinstance(value, dict):
                # Names, not keywords.
                copy[key] = {name: checkable(entry) for name, entry in value.items()}
                continue
            if key == "patternProperties" and isinstance(value, dict):
                value = {name: entry for name, entry in value.items() if compiles(name)}
            copy[key] = value if key in ("enum", "const", "default") else checkable(value)
        return copy
    if isinstance(schema, list):
        return [checkable(item) for item in schema]
    return schema


def compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


class Checker:
    def __init__(self, defs: dict[str, Any]) -> None:
        self.defs = defs
        self.validators: dict[str, Draft202012Validator] = {}

    def check(self, name: str, schema: dict[str, Any], arguments: dict[str, Any]) -> None:
        validator = self.validators.get(name)
        if validator is None:
            validator = Draft202012Validator(checkable(complete(schema, self.defs)))
            self.validators[name] = validator
        try:
            errors = sorted(validator.iter_errors(arguments), key=lambda error: list(map(str, error.absolute_path)))
        except RecursionError:
            # A schema that contains itself without an end says nothing.
            return
        if not errors:
            return
        problems = []
        for error in errors[:5]:
            place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
            problems.append(f"`{place}`: {error.message[:300]}" if place else error.message[:300])
        raise ToolFailure("the arguments do not fit: " + "; ".join(problems), {"problems": problems})
