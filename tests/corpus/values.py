"""Arguments that fit the schemas of a description, made without the generator's own examples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator

try:
    from re import _parser as patterns  # type: ignore[attr-defined]
except ImportError:  # Before 3.11.
    import sre_parse as patterns  # type: ignore[no-redef]

from standard import Document, is_file

DEEP = 3
DEEPEST = 14
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T10:20:30Z",
    "time": "10:20:30Z",
    "duration": "P1D",
    "email": "one@example.com",
    "idn-email": "one@example.com",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "uri": "https://example.com/a?b=c&d=e",
    "url": "https://example.com/a?b=c&d=e",
    "uri-reference": "/a?b=c",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ip": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "aGVsbG8=",
}


@dataclass(frozen=True)
class File:
    """Bytes with a name, wherever a form or a body takes them."""

    content: bytes
    name: str = "notes.txt"
    kind: str = "text/plain"


class Impossible(Exception):
    """No value is known that fits."""


class Maker:
    """Makes values. `awkward` writes what has to be escaped; `pick` chooses among alternatives."""

    def __init__(self, document: Document, awkward: bool, full: bool, pick: int = 0) -> None:
        self.document, self.awkward, self.full, self.pick = document, awkward, full, pick
        self.avoid = ""
        self.files = False
        self.count = 0

    def text(self) -> str:
        self.count += 1
        if not self.awkward:
            return ["alpha", "beta", "gamma", "delta"][self.count % 4]
        whole = ["a b/c?d", "x,y;z", "é%25#", "1+1=2&3", "über 'q'\"", "100 % |"][self.count % 6]
        return "".join("_" if letter in self.avoid else letter for letter in whole)

    def make(self, schema: Any, depth: int = 0, full: bool | None = None) -> Any:
        full = self.full if full is None else full
        if depth > DEEPEST:
            raise Impossible("nested too deeply")
        if schema is False:
            raise Impossible("nothing fits `false`")
        if not isinstance(schema, dict):
            return self.text()
        if self.files and is_file(self.document.resolve(schema)):
            return File(b"line one\r\nline two \xc3\xa9 \x00\xff" if self.awkward else b"content")
        schema = self.flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            values = [value for value in schema["enum"] if value is not None] or schema["enum"]
            self.count += 1
            return values[(self.count if self.awkward else 0) % len(values)]
        kind = self.kind(schema)
        if kind == "object":
            return self.object(schema, depth, full)
        if kind == "array":
            return self.array(schema, depth, full)
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        if kind in ("integer", "number"):
            return number(schema, kind == "integer", self.awkward)
        return self.string(schema)

    def kind(self, schema: dict[str, Any]) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind in ("object", "array", "boolean", "null", "integer", "number", "string"):
            return kind
        if "properties" in schema or isinstance(schema.get("additionalProperties"), dict):
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        if "minimum" in schema or "maximum" in schema:
            return "number"
        return "string"

    def flat(self, schema: Any, depth: int) -> dict[str, Any]:
        """References followed, one alternative chosen, `allOf` put together."""
        result: dict[str, Any] = {}
        stack = [(schema, 0)]
        seen: set[int] = set()
        while stack:
            one, steps = stack.pop(0)
            while isinstance(one, dict) and "$ref" in one:
                if steps > 40:
                    raise Impossible("references in a circle")
                beside = {key: value for key, value in one.items() if key != "$ref"} if self.document.edition == 31 else {}
                if beside:
                    stack.append((beside, steps + 1))
                one, steps = self.document.follow(one["$ref"]), steps + 1
            if not isinstance(one, dict) or id(one) in seen:
                continue
            seen.add(id(one))
            for key, value in one.items():
                if key == "properties" and isinstance(value, dict):
                    result["properties"] = {**value, **result.get("properties", {})}
                elif key == "required" and isinstance(value, list):
                    result["required"] = [*result.get("required", []), *value]
                elif key == "allOf" and isinstance(value, list):
                    stack.extend((branch, steps + 1) for branch in value)
                elif key in ("oneOf", "anyOf") and isinstance(value, list) and value:
                    rest = [branch for branch in value if not (isinstance(branch, dict) and branch.get("type") == "null")] or value
                    chosen = rest[(self.pick + len(result.get("chosen", []))) % len(rest)] if self.pick else rest[0]
                    result.setdefault("chosen", []).append(1)
                    stack.append((chosen, steps + 1))
                elif key == "type" and "type" in result:
                    pass
                else:
                    result.setdefault(key, value)
        return result

    def object(self, schema: dict[str, Any], depth: int, full: bool) -> dict[str, Any]:
        required = [name for name in schema.get("required") or [] if isinstance(name, str)]
        properties = schema.get("properties") or {}
        result: dict[str, Any] = {}
        for name, inner in properties.items():
            wanted = name in required
            if self.reads_only(inner) or not (wanted or (full and depth < DEEP)):
                continue
            try:
                result[name] = self.make(inner, depth + 1, full and depth < 2)
            except Impossible:
                if wanted:
                    raise
        for name in required:
            if name not in properties:
                result[name] = self.make(schema.get("additionalProperties", {}) if isinstance(schema.get("additionalProperties"), dict) else {}, depth + 1)
        least = schema.get("minProperties", 0)
        further = schema.get("additionalProperties")
        if not properties and full and depth < DEEP and isinstance(further, dict):
            result["key"] = self.make(further, depth + 1, False)
        for name, inner in properties.items():
            if len(result) >= least:
                break
            if name not in result and not self.reads_only(inner):
                result[name] = self.make(inner, depth + 1, False)
        index = 0
        while len(result) < least and further is not False:
            index += 1
            result[f"key{index}"] = self.make(further if isinstance(further, dict) else {}, depth + 1, False)
        return result

    def reads_only(self, schema: Any) -> bool:
        if not isinstance(schema, dict):
            return False
        try:
            found = self.document.resolve(schema)
        except (LookupError, KeyError, TypeError, ValueError):
            return False
        return schema.get("readOnly") is True or (isinstance(found, dict) and found.get("readOnly") is True)

    def array(self, schema: dict[str, Any], depth: int, full: bool) -> list[Any]:
        if isinstance(schema.get("prefixItems"), list):
            return [self.make(one, depth + 1, full) for one in schema["prefixItems"]]
        items = schema.get("items", {})
        if isinstance(items, list):
            return [self.make(one, depth + 1, full) for one in items]
        least = schema.get("minItems", 0)
        wanted = max(least, 2 if depth < DEEP else 1)
        wanted = min(wanted, schema.get("maxItems", wanted))
        result: list[Any] = []
        for index in range(wanted * 4):
            if len(result) == wanted:
                break
            try:
                one = self.other(items, depth, index) if schema.get("uniqueItems") else self.make(items, depth + 1, full and depth < 2)
            except Impossible:
                if len(result) < least:
                    raise
                break
            if not (schema.get("uniqueItems") and one in result):
                result.append(one)
        if len(result) < least:
            raise Impossible("not enough different items")
        return result

    def other(self, items: Any, depth: int, index: int) -> Any:
        flat = self.flat(items, depth) if isinstance(items, dict) else {}
        values = [value for value in flat.get("enum") or [] if value is not None]
        if values:
            return values[index % len(values)]
        made = self.make(items, depth + 1, False)
        if isinstance(made, int) and not isinstance(made, bool):
            return made + index
        if isinstance(made, str) and index and not flat.get("format") and not flat.get("pattern"):
            return f"{made}{index}"[: flat.get("maxLength", 10_000)]
        return made

    def string(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", 100_000)
        if isinstance(schema.get("pattern"), str):
            return self.by_pattern(schema, least, most)
        text = FORMATS.get(schema.get("format") or "")
        if text is None:
            text = self.text()
        return text.ljust(least, "x")[: max(most, 0)]

    def by_pattern(self, schema: dict[str, Any], least: int, most: int) -> str:
        given = [schema.get("example"), schema.get("default"), FORMATS.get(schema.get("format") or ""), *(schema.get("examples") or [])]
        try:
            pattern = re.compile(schema["pattern"])
        except re.error:
            return str(schema.get("default") or "abc123")
        tries = [one for one in given if isinstance(one, str)]
        for repeat in range(4):
            tries.append("".join(pieces(patterns.parse(schema["pattern"]), repeat)))
        tries += [self.text(), "abc123", "x" * max(least, 1), "1" * max(least, 1)]
        for one in tries:
            if pattern.search(one) and least <= len(one) <= most:
                return one
        raise Impossible(f"no text for the pattern {schema['pattern']}")


def pieces(parsed: Any, more: int) -> Iterator[str]:
    """A text that matches a pattern, for what patterns of schemas are made of."""
    for code, argument in parsed:
        name = str(code)
        if name == "LITERAL":
            yield chr(argument)
        elif name == "NOT_LITERAL":
            yield "a" if argument != ord("a") else "b"
        elif name == "ANY":
            yield "a"
        elif name == "IN":
            yield from one_of(argument)
        elif name == "BRANCH":
            yield from pieces(argument[1][0], more)
        elif name == "SUBPATTERN":
            yield from pieces(argument[3], more)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = argument
            for _ in range(min(least + more * (1 if least else 2), int(most))):
                yield from pieces(inner, more)


CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " ", "CATEGORY_NOT_SPACE": "a", "CATEGORY_NOT_DIGIT": "a", "CATEGORY_NOT_WORD": "-"}


def one_of(choices: Any) -> Iterator[str]:
    if str(choices[0][0]) == "NEGATE":
        yield next(letter for letter in "ab1-_ " if not re.match("[" + "".join(as_set(one) for one in choices[1:]) + "]", letter))
        return
    name, argument = str(choices[0][0]), choices[0][1]
    if name == "LITERAL":
        yield chr(argument)
    elif name == "RANGE":
        yield chr(argument[0] + min(1, argument[1] - argument[0]))
    else:
        yield CATEGORIES.get(str(argument), "a")


def as_set(choice: Any) -> str:
    name, argument = str(choice[0]), choice[1]
    if name == "LITERAL":
        return re.escape(chr(argument))
    if name == "RANGE":
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    return {"CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w", "CATEGORY_SPACE": r"\s"}.get(str(argument), "")


def number(schema: dict[str, Any], whole: bool, awkward: bool) -> int | float:
    least, most = schema.get("minimum"), schema.get("maximum")
    step = schema.get("multipleOf")
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    edge = 1 if whole else 0.25
    if low is True and least is not None:
        least += edge
    elif isinstance(low, (int, float)) and not isinstance(low, bool):
        least = max(least, low + edge) if least is not None else low + edge
    if high is True and most is not None:
        most -= edge
    elif isinstance(high, (int, float)) and not isinstance(high, bool):
        most = min(most, high - edge) if most is not None else high - edge
    value: int | float = (12 if whole else 0.000012 if awkward else 2.5)
    if least is not None and value < least:
        value = least
    if most is not None and value > most:
        value = most
    if step:
        value = -(-value // step) * step
        if most is not None and value > most:
            value -= step
    if whole:
        value = int(value)
    if least is not None and value < least or most is not None and value > most:
        raise Impossible("no number between its limits")
    return value
