"""Arguments to a request, exactly as the description of the API says. Pure: no I/O."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from .errors import ToolFailure

# Letters that RFC 3986 never escapes, and those that it reserves.
RESERVED = ":/?#[]@!$&'()*+,;="


@dataclass
class Part:
    name: str
    content: bytes
    filename: str | None = None
    content_type: str | None = None


@dataclass
class Request:
    method: str
    path: str
    query: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    parts: list[Part] | None = None
    # Of the parts: `multipart/form-data`, or another subtype that the description names.
    parts_type: str = "multipart/form-data"


def text_of(value: Any) -> str:
    """A scalar as text; what is structured as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Plain decimal notation, and no fraction where there is none.
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def escape(text: str, keep: str = "") -> str:
    return quote(text, safe="-._~" + keep)


def escape_reserved(text: str) -> str:
    """Keeps reserved characters and what is escaped already; never what would end the value."""
    out = []
    index = 0
    while index < len(text):
        piece = text[index : index + 3]
        if len(piece) == 3 and piece[0] == "%" and all(c in "0123456789abcdefABCDEF" for c in piece[1:]):
            out.append(piece)
            index += 3
            continue
        # `#` would end the query, `&` the parameter; `+` is a space to most servers.
        out.append(escape(text[index], "".join(c for c in RESERVED if c not in "#&+")))
        index += 1
    return "".join(out)


def present(value: Any) -> list[tuple[str, Any]]:
    return [(key, item) for key, item in value.items() if item is not None]


def deep_pairs(prefix: str, value: Any) -> list[tuple[str, str]]:
    """`a[b][c]=1`; the items of a list repeat its key, structured ones carry their index."""
    if isinstance(value, dict):
        pairs = []
        for key, item in present(value):
            pairs.extend(deep_pairs(f"{prefix}[{key}]", item))
        return pairs
    if isinstance(value, list):
        pairs = []
        for index, item in enumerate(value):
            if item is None:
                continue
            if isinstance(item, (dict, list)):
                pairs.extend(deep_pairs(f"{prefix}[{index}]", item))
            else:
                pairs.append((prefix, text_of(item)))
        return pairs
    return [(prefix, text_of(value))]


DELIMITERS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "|", "tabDelimited": "%09"}


def flat_pairs(name: str, value: Any, style: str, explode: bool, reserved: bool) -> list[tuple[str, str]]:
    """Pairs of a query, a cookie or a form; both sides escaped."""
    enc = escape_reserved if reserved else escape
    if style == "json":
        return [(escape(name), enc(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))]
    if style == "deepObject":
        return [(escape(key, "[]"), enc(item)) for key, item in deep_pairs(name, value)]
    if isinstance(value, list):
        items = [enc(text_of(item)) for item in value if item is not None]
        if not items:
            return []
        if explode:
            return [(escape(name), item) for item in items]
        return [(escape(name), DELIMITERS[style].join(items))]
    if isinstance(value, dict):
        entries = present(value)
        if not entries:
            return []
        if explode:
            return [(escape(key), enc(text_of(item))) for key, item in entries]
        flat = [part for key, item in entries for part in (enc(key), enc(text_of(item)))]
        return [(escape(name), DELIMITERS[style].join(flat))]
    return [(escape(name), enc(text_of(value)))]


def path_text(parameter: dict[str, Any], value: Any) -> str:
    name, style, explode = escape(parameter["wire_name"]), parameter["style"], parameter["explode"]
    if style == "json":
        return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    if isinstance(value, list):
        items = [escape(text_of(item)) for item in value if item is not None]
        pairs = None
    elif isinstance(value, dict):
        pairs = [(escape(key), escape(text_of(item))) for key, item in present(value)]
        items = [f"{key}={item}" for key, item in pairs] if explode else [part for pair in pairs for part in pair]
    else:
        pairs = None
        items = [escape(text_of(value))]
    if style == "label":
        return "." + ("." if explode else ",").join(items)
    if style == "matrix":
        if explode and pairs is not None:
            return "".join(f";{key}={item}" for key, item in pairs)
        if explode and isinstance(value, list):
            return "".join(f";{name}={item}" for item in items)
        joined = ",".join(items)
        return f";{name}={joined}" if joined else f";{name}"
    return DELIMITERS.get(style, ",").join(items)


def header_text(parameter: dict[str, Any], value: Any) -> str:
    style, explode = parameter["style"], parameter["explode"]
    if style == "json":
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    joint = {"spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t"}.get(style, ",")
    if isinstance(value, list):
        return joint.join(text_of(item) for item in value if item is not None)
    if isinstance(value, dict):
        if explode:
            return joint.join(f"{key}={text_of(item)}" for key, item in present(value))
        return joint.join(part for key, item in present(value) for part in (key, text_of(item)))
    return text_of(value)


def checked_header(name: str, text: str) -> str:
    if any(letter in text for letter in "\r\n\0"):
        raise ToolFailure(f"the argument for the header `{name}` holds a line break, which a header cannot carry")
    # HTTP carries ASCII; the rest is escaped as in addresses.
    return "".join(letter if letter == "\t" or " " <= letter <= "~" else quote(letter) for letter in text)


def build(operation: dict[str, Any], arguments: dict[str, Any]) -> Request:
    """The request of an operation. `arguments` fit its schema."""
    path, _, fixed_query = operation["path"].partition("?")
    query = [fixed_query] if fixed_query else []
    headers: list[tuple[str, str]] = []
    cookies: list[str] = []
    for parameter in operation.get("parameters", []):
        value = arguments.get(parameter["argument"])
        location = parameter["location"]
        wire_name = parameter["wire_name"]
        if value is None:
            if location == "path":
                raise ToolFailure(f"the argument `{parameter['argument']}` is missing: it is part of the address")
            continue
        if location == "path":
            text = path_text(parameter, value)
            if text in (".", "..", "") or value == "":
                raise ToolFailure(f"the argument `{parameter['argument']}` cannot be {value!r}: it would change the address")
            path = path.replace("{" + wire_name + "}", text)
        elif location == "query":
            style = parameter["style"]
            pairs = flat_pairs(wire_name, value, style, parameter["explode"], parameter.get("allow_reserved", False))
            query.extend(f"{key}={text}" for key, text in pairs)
        elif location == "header":
            headers.append((wire_name, checked_header(wire_name, header_text(parameter, value))))
        else:
            pairs = flat_pairs(wire_name, value, parameter["style"], parameter["explode"], False)
            cookies.extend(f"{key}={text}" for key, text in pairs)
    if cookies:
        headers.append(("Cookie", "; ".join(cookies)))
    request = Request(operation["method"], escape_path(path), "&".join(query), headers)
    body = operation.get("body")
    if body is not None:
        add_body(request, body, arguments)
    return request


def escape_path(path: str) -> str:
    """Escapes what a template holds outside of its parameters; what is escaped stays."""
    return quote(path, safe="-._~%" + RESERVED.replace("#", "").replace("?", "").replace("[", "").replace("]", "") + "|")


def add_body(request: Request, body: dict[str, Any], arguments: dict[str, Any]) -> None:
    name = body["argument"]
    if name not in arguments:
        if body["required"]:
            raise ToolFailure(f"the argument `{name}` is missing")
        return
    value = arguments[name]
    media = body["media"][0]
    chosen = arguments.get(body.get("content_type_argument") or "")
    if chosen is not None:
        media = next((entry for entry in body["media"] if entry["content_type"] == chosen), media)
    form, content_type = media["form"], media["content_type"]
    if form == "json":
        request.body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    elif form == "text":
        request.body = text_of(value).encode()
    elif form == "binary":
        request.body = content_of(value, name)
        if "*" in content_type:
            own = value.get("content_type") if isinstance(value, dict) else None
            content_type = checked_header("Content-Type", own or "application/octet-stream")
    elif form == "urlencoded":
        request.body = urlencoded(media, value, name).encode()
    else:
        request.parts = multipart(media, value, name)
        request.parts_type = content_type.split(";")[0].strip()
        return
    request.headers.append(("Content-Type", content_type))


def content_of(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        if "content_base64" in value:
            try:
                return base64.b64decode(value["content_base64"], validate=True)
            except (binascii.Error, ValueError):
                raise ToolFailure(f"`content_base64` of `{name}` is no base64") from None
        if "text" in value:
            return str(value["text"]).encode()
    raise ToolFailure(f"`{name}` is a file: give an object with `content_base64` or `text`")


def form_object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ToolFailure(f"`{name}` is a form: give an object with its fields")
    return value


def urlencoded(media: dict[str, Any], value: Any, name: str) -> str:
    pairs: list[tuple[str, str]] = []
    for key, item in present(form_object(value, name)):
        special = media.get("properties", {}).get(key, {})
        style, explode = special.get("style"), special.get("explode")
        reserved = special.get("allow_reserved", False)
        if style is None and explode is None and "json" in (special.get("content_type") or ""):
            pairs.append((escape(key), escape(json.dumps(item, ensure_ascii=False, separators=(",", ":")))))
        elif style is None and explode is None and isinstance(item, (dict, list)) and nested(item):
            # What servers read where the description says nothing.
            pairs.extend((escape(deep), escape(text)) for deep, text in deep_pairs(key, item))
        else:
            style = style or "form"
            pairs.extend(flat_pairs(key, item, style, style == "form" if explode is None else explode, reserved))
    return "&".join(f"{key}={text}" for key, text in pairs)


def nested(item: Any) -> bool:
    return isinstance(item, dict) or any(isinstance(entry, (dict, list)) for entry in item)


def multipart(media: dict[str, Any], value: Any, name: str) -> list[Part]:
    parts: list[Part] = []
    for key, item in present(form_object(value, name)):
        special = media.get("properties", {}).get(key, {})
        content_type = special.get("content_type")
        if special.get("file"):
            for one in item if isinstance(item, list) else [item]:
                own = one.get("content_type") if isinstance(one, dict) else None
                filename = one.get("filename") if isinstance(one, dict) else None
                kind = own or content_type or "application/octet-stream"
                parts.append(Part(key, content_of(one, key), safe_filename(filename or key), kind))
            continue
        if "style" in special or "explode" in special:
            # The pairs of a query, without its escapes: parts carry everything as it is.
            style = special.get("style", "form")
            pairs = flat_pairs(key, item, style, special.get("explode", style == "form"), False)
            parts.extend(Part(unquote(name), unquote_to_bytes(text)) for name, text in pairs)
            continue
        # A list is a part each, unless it goes as JSON.
        whole = content_type is not None and "json" in content_type
        for one in item if isinstance(item, list) and not whole else [item]:
            if one is None:
                continue
            if whole or isinstance(one, (dict, list)):
                text = json.dumps(one, ensure_ascii=False, separators=(",", ":"))
                parts.append(Part(key, text.encode(), None, content_type or "application/json"))
            else:
                parts.append(Part(key, text_of(one).encode(), None, content_type))
    return parts


def safe_filename(name: str) -> str:
    return "".join("_" if letter in '\r\n\0"/\\' else letter for letter in name) or "file"


def encode_multipart(parts: list[Part], boundary: str) -> bytes:
    out = bytearray()
    for part in parts:
        field_name = part.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        disposition = f'form-data; name="{field_name}"'
        if part.filename is not None:
            disposition += f'; filename="{part.filename}"'
        out += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n".encode()
        if part.content_type:
            out += f"Content-Type: {checked_header('Content-Type', part.content_type)}\r\n".encode()
        out += b"\r\n" + part.content + b"\r\n"
    out += f"--{boundary}--\r\n".encode()
    return bytes(out)
