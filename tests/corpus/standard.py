"""Descriptions of APIs, read by the words of the standard alone: Swagger 2.0, OpenAPI 3.0 and 3.1.

Written without a look at the generator that is judged with it, and never calling it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import unquote, urljoin

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
STYLES = {"path": "simple", "header": "simple", "query": "form", "cookie": "form"}
# `collectionFormat` of 2.0 in the words of 3.
OLD_FORMATS = {"csv": None, "ssv": "spaceDelimited", "tsv": "tabDelimited", "pipes": "pipeDelimited"}
# Header parameters of these names are ignored: media types and security speak for them.
IGNORED_HEADERS = {"accept", "content-type", "authorization"}


@dataclass
class Parameter:
    name: str
    place: str
    required: bool
    schema: Any
    style: str
    explode: bool
    reserved: bool = False
    as_json: bool = False


@dataclass
class Media:
    content_type: str
    schema: Any
    encoding: dict[str, Any]

    @property
    def essence(self) -> str:
        return self.content_type.split(";")[0].strip().lower()


@dataclass
class Operation:
    method: str
    path: str
    id: str
    parameters: list[Parameter]
    media: list[Media]
    body_required: bool
    security: list[dict[str, Any]]
    base: str | None
    raw: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"


def load(file: Path) -> Any:
    text = file.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("{"):
        return json.loads(text)
    import yaml

    class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """YAML 1.2: dates are texts, and `yes`, `no`, `on` and `off` are no booleans."""

    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")]
        for first, pairs in Plain.yaml_implicit_resolvers.items()
    }
    Plain.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
    return texts(yaml.load(text, Plain))  # noqa: S506 - derived from the safe loader


def texts(value: Any) -> Any:
    """Keys of JSON are texts: `200:` is `"200":`."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): texts(item) for key, item in value.items()}
    return [texts(item) for item in value] if isinstance(value, list) else value


class Document:
    def __init__(self, root: Any) -> None:
        self.root = root
        version = str(root.get("openapi") or root.get("swagger"))
        self.edition = 2 if version.startswith("2") else 30 if version.startswith("3.0") else 31
        self.schemes = root.get("securityDefinitions", {}) if self.edition == 2 else (root.get("components") or {}).get("securitySchemes", {})

    def follow(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise LookupError(reference)
        value = self.root
        if len(reference) > 1 and not reference.startswith("#/"):
            return self.anchored(unquote(reference[1:]))
        for part in unquote(reference[1:]).split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    def anchored(self, name: str) -> Any:
        stack = [self.root]
        while stack:
            value = stack.pop()
            if isinstance(value, dict):
                if value.get("$anchor") == name:
                    return value
                stack.extend(value.values())
            elif isinstance(value, list):
                stack.extend(value)
        raise LookupError(name)

    def resolve(self, value: Any) -> Any:
        for _ in range(60):
            if not (isinstance(value, dict) and isinstance(value.get("$ref"), str)):
                return value
            value = self.follow(value["$ref"])
        raise LookupError("a circle of references")

    def operations(self) -> Iterator[Operation]:
        for path, item in (self.root.get("paths") or {}).items():
            if path.startswith("x-"):
                continue
            item = self.resolve(item)
            for method in METHODS:
                if isinstance(item.get(method), dict):
                    yield self.operation(method.upper(), path, item, item[method])

    def operation(self, method: str, path: str, item: Any, raw: Any) -> Operation:
        found: dict[tuple[str, str], Any] = {}
        for one in [*(item.get("parameters") or []), *(raw.get("parameters") or [])]:
            one = self.resolve(one)
            if "name" in one and "in" in one:
                key = one["name"].lower() if one["in"] == "header" else one["name"]
                found[(one["in"], key)] = one
        listed = [
            self.parameter(one)
            for (place, name), one in found.items()
            if place in STYLES
            and not (place == "header" and name in IGNORED_HEADERS)
            and not (place == "path" and "{" + name + "}" not in path)
        ]
        known = {one.name for one in listed if one.place == "path"}
        for name in dict.fromkeys(re.findall(r"\{([^{}]+)\}", path.split("#")[0])):
            if name not in known:
                listed.append(Parameter(name, "path", True, {"type": "string"}, "simple", False))
        media, required = self.body(raw, found)
        security = raw.get("security", self.root.get("security")) or []
        return Operation(method, path, raw.get("operationId") or "", listed, media, required, security, self.base(item, raw), raw)

    def parameter(self, raw: Any) -> Parameter:
        place, name = raw["in"], raw["name"]
        required = place == "path" or raw.get("required") is True
        if self.edition == 2:
            schema = raw.get("schema") or {key: value for key, value in raw.items() if key not in ("name", "in", "required", "description")}
            wanted = raw.get("collectionFormat", "csv")
            style = OLD_FORMATS.get(wanted) or STYLES[place]
            return Parameter(name, place, required, schema, style, wanted == "multi")
        if raw.get("content"):
            media, inner = next(iter(raw["content"].items()))
            return Parameter(name, place, required, inner.get("schema", {}), STYLES[place], False, as_json="json" in media)
        style = raw.get("style", STYLES[place])
        explode = raw.get("explode", style == "form")
        reserved = raw.get("allowReserved") is True and place == "query"
        return Parameter(name, place, required, raw.get("schema", {}), style, explode, reserved)

    def body(self, raw: Any, found: dict[tuple[str, str], Any]) -> tuple[list[Media], bool]:
        if self.edition != 2:
            body = self.resolve(raw.get("requestBody") or {})
            content = body.get("content") or {}
            return [Media(kind, one.get("schema", {}), one.get("encoding") or {}) for kind, one in content.items()], body.get("required") is True
        consumes = raw.get("consumes", self.root.get("consumes")) or []
        form = [one for (place, _), one in found.items() if place == "formData"]
        whole = next((one for (place, _), one in found.items() if place == "body"), None)
        if whole is not None and not form:
            return [Media(kind, whole.get("schema", {}), {}) for kind in consumes or ["application/json"]], whole.get("required") is True
        if not form:
            return [], False
        has_file = any(one.get("type") == "file" for one in form)
        properties, encoding, required = {}, {}, []
        for one in form:
            schema = {key: value for key, value in one.items() if key not in ("name", "in", "required")}
            if schema.get("type") == "file":
                schema = {"type": "string", "format": "binary"}
            if schema.get("type") == "array":
                wanted = one.get("collectionFormat", "csv")
                encoding[one["name"]] = {"style": OLD_FORMATS.get(wanted) or "form", "explode": wanted == "multi"}
            properties[one["name"]] = schema
            if one.get("required") is True:
                required.append(one["name"])
        schema = {"type": "object", "properties": properties, "required": required}
        kinds = [kind for kind in consumes if kind.startswith(("multipart/form-data", "application/x-www-form"))]
        kinds = ["multipart/form-data"] if has_file else kinds or ["application/x-www-form-urlencoded"]
        return [Media(kind, schema, encoding) for kind in kinds], bool(required)

    def base(self, item: Any, raw: Any) -> str | None:
        """The address that calls go to when nobody says otherwise; `None` when it is relative to an
        address that is not known."""
        if self.edition == 2:
            host = self.root.get("host")
            if not host:
                return None
            schemes = self.root.get("schemes") or ["https"]
            scheme = "https" if "https" in schemes else schemes[0]
            return f"{scheme}://{host}{self.root.get('basePath', '')}".rstrip("/")
        servers = raw.get("servers") or item.get("servers") or self.root.get("servers") or []
        if not servers:
            return None
        url = servers[0].get("url", "")
        for name, variable in (servers[0].get("variables") or {}).items():
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
        url = urljoin("", url).rstrip("/")
        return url if url.startswith(("http://", "https://")) else None


def kind_of(media: Media, document: Document) -> str:
    """How a body of this media type is written."""
    essence = media.essence
    if essence in ("application/json", "text/json") or essence.endswith("+json"):
        return "json"
    if essence == "application/x-www-form-urlencoded":
        return "form"
    if essence.startswith("multipart/"):
        return "multipart"
    if essence.startswith("text/") or essence.endswith(("/xml", "+xml", "/yaml", "+yaml", "/x-yaml", "javascript", "graphql")):
        return "text"
    schema = document.resolve(media.schema) if media.schema else {}
    if essence == "*/*":
        return "bytes" if is_file(schema) else "json"
    return "bytes"


def is_file(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    return schema.get("format") == "binary" or (
        isinstance(schema.get("contentMediaType"), str) and "contentEncoding" not in schema and schema.get("contentMediaType") != "application/json"
    )
