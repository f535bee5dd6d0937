"""What a call must send, and whether it was sent: by the rules of the standard, from the
description itself. A request is read back as a server would read it, and its values are compared.

Where the standard leaves a choice, every choice is right: the order of the parameters, `+` or `%20`
for a space in a query, an escaped or a bare separator where no value holds it, brackets, JSON or a
repeated key for structures inside forms of which the description says nothing.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from standard import Document, Media, Operation, Parameter, is_file, kind_of
from values import File, Impossible, Maker

NOTHING = object()


@dataclass
class Request:
    """As it arrived; nothing decoded."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for own, value in self.headers if own.lower() == name]


@dataclass
class Plan:
    """A call, before anybody's names for tools and arguments."""

    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    body: Any = NOTHING
    media: Media | None = None
    name: str = ""


class Wrong(Exception):
    """What is wrong with a request."""


# --- calls ---------------------------------------------------------------------------------------


class Planner:
    def __init__(self, document: Document, checker: Any = None) -> None:
        self.document, self.checker = document, checker

    def plan(self, operation: Operation, awkward: bool, full: bool, media: Media | None = None) -> Plan:
        """A call with everything, or with the least, that the description allows."""
        plan = Plan(name="full" if full else "least")
        for parameter in operation.parameters:
            if parameter.required or full:
                try:
                    plan.values[(parameter.place, parameter.name)] = self.value(parameter, awkward, full)
                except Impossible:
                    if parameter.required:
                        raise
        if operation.media and (operation.body_required or full):
            plan.media = media or preferred(operation, self.document)
            plan.body = self.content(plan.media, awkward, full)
        return plan

    def fitting(self, schema: Any, awkward: bool, full: bool, avoid: str = "", files: bool = False) -> Any:
        """The first value, over all choices, that a validator takes too."""
        last: Exception = Impossible("no value fits")
        seen: list[Any] = []
        for extent in (full, False) if full else (False,):
            for pick in range(6):
                maker = Maker(self.document, awkward, extent, pick)
                maker.avoid, maker.files = avoid, files
                try:
                    value = maker.make(schema)
                except Impossible as error:
                    last = error
                    continue
                except (LookupError, TypeError, ValueError) as error:
                    raise Impossible(f"the schema cannot be read: {error!r}") from error
                if value in seen:
                    break
                seen.append(value)
                if self.checker is None or self.checker.fits(schema, value, strict=True):
                    return value
        for value in seen:
            if self.checker.fits(schema, value, strict=False):
                return value
        raise last

    def value(self, parameter: Parameter, awkward: bool, full: bool) -> Any:
        # What would be read as a separator cannot be part of a value where it is not escaped.
        avoid = {
            "spaceDelimited": " ",
            "pipeDelimited": "|",
            "tabDelimited": "\t",
            "label": ".",
        }.get(parameter.style, "")
        if parameter.place == "header":
            avoid += ",="
        value = self.fitting(parameter.schema, awkward, full, avoid)
        if value in ({}, []) and not full:
            # What is empty is not there, and this one must be.
            value = self.fitting(parameter.schema, awkward, True, avoid)
        if parameter.place == "path" and value in ("", ".", ".."):
            raise Impossible("an empty segment")
        return value

    def content(self, media: Media, awkward: bool, full: bool) -> Any:
        kind = kind_of(media, self.document)
        if kind == "json":
            return self.fitting(media.schema, awkward, full)
        if kind == "text":
            return "<a b=\"1\">é &amp; ü</a>\n" if "xml" in media.essence else "line one\nline two: é\n" if awkward else "text"
        if kind == "bytes":
            return File(b"\x00\x01\xff line\r\n" if awkward else b"content", "data.bin", "application/octet-stream")
        value = self.fitting(media.schema, awkward, full, "|" if kind == "form" else "", files=kind == "multipart")
        if not isinstance(value, dict):
            raise Impossible("the form is no object")
        return value


def preferred(operation: Operation, document: Document) -> Media:
    """JSON where it is offered: it carries every value."""
    for one in operation.media:
        if kind_of(one, document) == "json":
            return one
    return operation.media[0]


# --- judging -------------------------------------------------------------------------------------


def judge(document: Document, operation: Operation, plan: Plan, request: Request, credentials: dict[str, Any] | None, prefix: str) -> None:
    """Raises `Wrong` with the first difference. `credentials`: what was given for each scheme; `None`
    when it does not matter whether they are sent."""
    if request.method != operation.method:
        raise Wrong(f"the method is {request.method}")
    target, _, query = request.target.partition("?")
    if not target.startswith(prefix):
        raise Wrong(f"the path {target} is not below {prefix}")
    template, _, fixed = operation.path.split("#")[0].partition("?")
    in_path(operation, plan, target[len(prefix) :], template)
    pairs = [tuple(pair.partition("=")[::2]) for pair in query.split("&") if pair]
    for pair in fixed.split("&"):
        if pair:
            take(pairs, lambda one, pair=pair: "=".join(one) == pair or one[0] == pair, f"the fixed `{pair}` of the path is missing")
    cookies = [tuple(pair.strip().partition("=")[::2]) for line in request.all("cookie") for part in line.split(";") for pair in part.split("&") if pair.strip()]
    if credentials is not None:
        in_credentials(document, operation, request, pairs, cookies, credentials)
    for parameter in operation.parameters:
        value = plan.values.get((parameter.place, parameter.name), NOTHING)
        if parameter.place == "query":
            if value is not NOTHING:
                in_pairs(parameter, value, pairs, "query")
        elif parameter.place == "cookie":
            if value is not NOTHING:
                in_pairs(parameter, value, cookies, "cookie")
        elif parameter.place == "header":
            in_header(parameter, value, request.all(parameter.name.lower()))
    if pairs:
        raise Wrong(f"the query holds {pairs[0]} too")
    if cookies and credentials is not None:
        raise Wrong(f"the cookies hold {cookies[0]} too")
    in_body(document, operation, plan, request)


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        from decimal import Decimal

        return format(Decimal(repr(value)), "f").rstrip("0").rstrip(".") if value % 1 == 0 or "." in format(Decimal(repr(value)), "f") else format(Decimal(repr(value)), "f")
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def same(raw: str, value: Any, plus: bool = False) -> bool:
    """Whether an escaped text stands for a scalar."""
    bad = [part for part in raw.split("%")[1:] if len(part) < 2 or not all(letter in "0123456789abcdefABCDEF" for letter in part[:2])]
    if bad or any(ord(letter) <= 0x20 or ord(letter) > 0x7E for letter in raw):
        return False
    try:
        text = unquote(raw.replace("+", " ") if plus else raw, errors="strict")
    except UnicodeDecodeError:
        return False
    if text == text_of(value):
        return True
    if isinstance(value, (dict, list)) or isinstance(value, (int, float)) and not isinstance(value, bool):
        return like(text, value)
    return False


def like(text: str, value: Any) -> bool:
    """Whether a text is the JSON of a value; numbers by their value, without an exponent."""
    try:
        got = json.loads(text)
    except ValueError:
        return False
    if isinstance(value, (int, float)) and ("e" in text.lower() or isinstance(value, int) and "." in text):
        return False
    return equal(got, value)


def equal(got: Any, value: Any) -> bool:
    if isinstance(value, bool) or isinstance(got, bool):
        return got is value
    if isinstance(value, (int, float)) and isinstance(got, (int, float)):
        return got == value
    if isinstance(value, dict) and isinstance(got, dict):
        return got.keys() == value.keys() and all(equal(got[key], item) for key, item in value.items())
    if isinstance(value, list) and isinstance(got, list):
        return len(got) == len(value) and all(map(equal, got, value))
    return type(got) is type(value) and got == value


def tokens(raw: str, separators: list[str], values: list[Any], plus: bool = False) -> bool:
    """Whether a text is these values with one of the separators between them. Escaped separators
    count where no value holds them: then both ways to read give the same."""
    for separator in separators:
        parts = raw.split(separator)
        if len(parts) == len(values) and all(same(part, value, plus) for part, value in zip(parts, values)):
            return True
    bare = unquote(separators[0])
    if not any(bare in text_of(value) for value in values):
        return unquote(raw.replace("+", " ") if plus else raw) == bare.join(map(text_of, values))
    return False


def flat(value: dict[str, Any]) -> list[Any]:
    return [part for pair in value.items() for part in pair]


def in_path(operation: Operation, plan: Plan, raw: str, template: str) -> None:
    """Walks along the template; what stands between its fixed parts are the values."""
    import re

    names = re.findall(r"\{([^{}]+)\}", template)
    fixed = re.split(r"\{[^{}]+\}", template)
    # What the template writes itself may be escaped or not.
    pattern = "([^/?#]*)".join(loose(part) for part in fixed)
    # Greedy from the left may take the wrong dot of `{a}.{b}`: expected texts have none there.
    found = re.fullmatch(pattern, raw)
    if not found:
        raise Wrong(f"the path {raw} does not fit {template}")
    for name, text in zip(names, found.groups()):
        parameter = next(one for one in operation.parameters if one.place == "path" and one.name == name)
        if not path_value(parameter, plan.values[("path", name)], text):
            raise Wrong(f"the path parameter `{name}` is `{text}` for {plan.values[('path', name)]!r}")


def loose(text: str) -> str:
    import re

    return "".join(f"(?:{re.escape(letter)}|{''.join(f'%{byte:02X}' for byte in letter.encode())})" if not letter.isalnum() and letter != "/" else re.escape(letter) for letter in unquote(text))


def path_value(parameter: Parameter, value: Any, text: str) -> bool:
    explode, name = parameter.explode, parameter.name
    if parameter.as_json:
        return like(unquote(text), value)
    if parameter.style == "label":
        if not text.startswith("."):
            return False
        text = text[1:]
        between = "." if explode else ","
        if isinstance(value, list):
            return tokens(text, [between], value)
        if isinstance(value, dict):
            return keyed(text.split("."), value) if explode else tokens(text, [","], flat(value))
        return same(text, value)
    if parameter.style == "matrix":
        if not text.startswith(";"):
            return False
        parts = text[1:].split(";")
        if explode and isinstance(value, dict):
            return keyed(parts, value)
        if explode and isinstance(value, list):
            return len(parts) == len(value) and all(part.partition("=")[0] == name and same(part.partition("=")[2], item) for part, item in zip(parts, value))
        key, _, rest = text[1:].partition("=")
        if unquote(key) != name:
            return False
        if isinstance(value, list):
            return tokens(rest, [","], value)
        if isinstance(value, dict):
            return tokens(rest, [","], flat(value))
        return same(rest, value)
    # `simple`, and the delimiters of Swagger 2.0.
    between = {"spaceDelimited": "%20", "pipeDelimited": "|", "tabDelimited": "%09"}.get(parameter.style, ",")
    if isinstance(value, list):
        return tokens(text, [between], value)
    if isinstance(value, dict):
        return keyed(text.split(","), value) if explode else tokens(text, [between], flat(value))
    return same(text, value)


def keyed(parts: list[str], value: dict[str, Any]) -> bool:
    """`a=1` for each member, in any order."""
    if len(parts) != len(value):
        return False
    left = dict(value)
    for part in parts:
        key, _, text = part.partition("=")
        item = left.pop(unquote(key), NOTHING)
        if item is NOTHING or not same(text, item):
            return False
    return not left


def take(pairs: list[Any], wanted: Any, problem: str) -> Any:
    for index, pair in enumerate(pairs):
        if wanted(pair):
            return pairs.pop(index)
    raise Wrong(problem)


def named(pairs: list[Any], name: str) -> list[str]:
    """Takes the values of a name, in their order."""
    found = [raw for key, raw in pairs if unquote(key.replace("+", " ")) == name]
    pairs[:] = [pair for pair in pairs if unquote(pair[0].replace("+", " ")) != name]
    return found


def in_pairs(parameter: Parameter, value: Any, pairs: list[Any], where: str) -> None:
    name, style, explode = parameter.name, parameter.style, parameter.explode
    before = list(pairs)

    def wrong() -> Wrong:
        return Wrong(f"the {where} parameter `{name}` ({style}, explode {explode}) of {value!r} is in {['='.join(pair) for pair in before]}")

    if parameter.as_json:
        raws = named(pairs, name)
        if len(raws) != 1 or not like(unquote(raws[0].replace("+", " ")), value):
            raise wrong()
        return
    if style == "deepObject" and isinstance(value, (dict, list)):
        if not deep(pairs, name, value, False):
            raise wrong()
        return
    if isinstance(value, list):
        if not value:
            if [raw for raw in named(pairs, name) if raw]:
                raise wrong()
            return
        raws = named(pairs, name)
        if explode:
            right = len(raws) == len(value) and all(same(raw, item, True) for raw, item in zip(raws, value))
        else:
            right = len(raws) == 1 and tokens(raws[0], delimiters(style), value, True)
        if not right:
            raise wrong()
        return
    if isinstance(value, dict):
        if explode:
            for key, item in value.items():
                raws = named(pairs, key)
                if len(raws) != 1 or not same(raws[0], item, True):
                    raise wrong()
            return
        raws = named(pairs, name)
        if len(raws) != 1 or not tokens(raws[0], delimiters(style), flat(value), True):
            raise wrong()
        return
    raws = named(pairs, name)
    if len(raws) != 1 or not same(raws[0], value, True):
        raise wrong()


def delimiters(style: str) -> list[str]:
    return {"spaceDelimited": ["%20", "+"], "pipeDelimited": ["|", "%7C", "%7c"], "tabDelimited": ["%09"]}.get(style, [","])


def deep(pairs: list[Any], prefix: str, value: Any, empty: bool) -> bool:
    """`a[b]=1`; for a list inside, its items repeat the key, with `[]`, or carry their number."""
    if isinstance(value, dict):
        return all(deep(pairs, f"{prefix}[{key}]", item, empty) for key, item in value.items() if item is not None)
    if isinstance(value, list):
        if all(not isinstance(item, (dict, list)) for item in value):
            for key in (prefix, prefix + "[]"):
                trial = list(pairs)
                raws = named(trial, key)
                if len(raws) == len(value) and raws and all(same(raw, item, True) for raw, item in zip(raws, value)):
                    pairs[:] = trial
                    return True
        trial = list(pairs)
        if all(deep(trial, f"{prefix}[{index}]", item, empty) for index, item in enumerate(value)):
            pairs[:] = trial
            return True
        return False
    raws = named(pairs, prefix)
    return len(raws) == 1 and same(raws[0], value, True)


def in_header(parameter: Parameter, value: Any, raws: list[str]) -> None:
    name, explode = parameter.name, parameter.explode
    if value is NOTHING:
        if raws and name.lower() not in ("user-agent", "accept", "host", "connection", "accept-encoding", "accept-language", "sec-fetch-mode"):
            raise Wrong(f"the header {name} was sent unasked")
        return
    if isinstance(value, list) and not value:
        return
    if len(raws) != 1:
        raise Wrong(f"the header {name} was sent {len(raws)} times")
    raw = raws[0]
    # Other delimiters are of Swagger 2.0.
    between = {"spaceDelimited": " ", "pipeDelimited": "|", "tabDelimited": "\t"}.get(parameter.style, ",")
    if parameter.as_json:
        right = like(raw, value) or like(unquote(raw), value)
    elif isinstance(value, list):
        right = headed([part.strip(" ") for part in raw.split(between)], value)
    elif isinstance(value, dict) and explode:
        parts = [part.strip(" ").partition("=") for part in raw.split(",")]
        right = sorted(unquote(part[0]) for part in parts) == sorted(value) and all(spoken(part[2], value[unquote(part[0])]) for part in parts)
    elif isinstance(value, dict):
        right = headed([part.strip(" ") for part in raw.split(",")], flat(value))
    else:
        right = spoken(raw, value)
    if not right:
        raise Wrong(f"the header {name} is `{raw}` for {value!r}")


def headed(parts: list[str], values: list[Any]) -> bool:
    return len(parts) == len(values) and all(spoken(part, value.strip(" ") if isinstance(value, str) else value) for part, value in zip(parts, values))


def spoken(raw: str, value: Any) -> bool:
    """As it is, as UTF-8, or escaped as in addresses."""
    text = text_of(value)
    if raw == text or raw.encode("latin-1", "replace").decode("utf-8", "replace") == text:
        return True
    # Escaped letters beyond ASCII beside a percent sign of the value's own: read byte by byte.
    return unquote(raw) == text or raw == "".join(letter if 0x20 <= ord(letter) < 0x7F else "".join(f"%{byte:02X}" for byte in letter.encode()) for letter in text)


def in_credentials(document: Document, operation: Operation, request: Request, pairs: list[Any], cookies: list[Any], given: dict[str, Any]) -> None:
    """At least one of the requirements is met; what belongs to no requirement is not there."""
    mentioned = {name for requirement in operation.security for name in requirement}
    met_all, problems = [], []
    sent: dict[str, bool] = {}
    shared: set[str] = set()
    for name in mentioned:
        scheme = document.resolve(document.schemes.get(name) or {})
        if not scheme or name not in given:
            # Nobody can meet what the document does not describe.
            sent[name] = not scheme
            continue
        kind, value = scheme.get("type"), given[name]
        if kind == "apiKey":
            if scheme["in"] == "query":
                raws = named(pairs, scheme["name"])
                sent[name] = len(raws) == 1 and same(raws[0], value, True)
            elif scheme["in"] == "cookie":
                raws = named(cookies, scheme["name"])
                sent[name] = len(raws) == 1 and unquote(raws[0]) == value
            else:
                sent[name] = request.all(scheme["name"].lower()) == [value]
        elif kind == "mutualTLS":
            sent[name] = True
        else:
            http = (scheme.get("scheme") or "").lower()
            if kind == "basic" or http == "basic":
                wanted = "basic " + base64.b64encode(":".join(value).encode()).decode()
            else:
                wanted = f"{'bearer' if http in ('', 'bearer') else http} {value}"
            lines = request.all("authorization")
            shared.add(name)
            sent[name] = len(lines) == 1 and lines[0].split(" ")[0].lower() == wanted.split(" ")[0] and lines[0].split(" ", 1)[1] == wanted.split(" ", 1)[1]
    for requirement in operation.security:
        missing = [name for name in requirement if not sent[name]]
        # A request has one `Authorization`: of two schemes that want it, one is met.
        if shared.issuperset(missing) and any(sent[name] for name in requirement if name in shared):
            missing = []
        (problems if missing else met_all).append(missing)
    if operation.security and not met_all:
        raise Wrong(f"the credentials {problems[0]} were not sent")
    if not mentioned and request.all("authorization"):
        raise Wrong("credentials were sent where none are wanted")


# --- bodies --------------------------------------------------------------------------------------


def in_body(document: Document, operation: Operation, plan: Plan, request: Request) -> None:
    if plan.body is NOTHING:
        if request.body:
            raise Wrong(f"a body was sent where none belongs: {request.body[:80]!r}")
        return
    declared = request.all("content-type")
    essence = declared[0].split(";")[0].strip().lower() if declared else ""
    media = plan.media
    assert media is not None
    if "*" in media.essence:
        if not essence or "*" in essence:
            raise Wrong(f"the content type is `{essence}`")
        kind = "json" if essence.endswith("json") else kind_of(media, document)
    elif essence == media.essence:
        kind = kind_of(media, document)
    else:
        raise Wrong(f"the content type is `{essence}` instead of `{media.essence}`")
    body, value = request.body, plan.body
    if kind == "json":
        try:
            got = json.loads(body)
        except ValueError:
            raise Wrong(f"the body is no JSON: {body[:80]!r}") from None
        if not equal(got, plain(value)):
            raise Wrong(f"the body is {text_of(got)[:300]} instead of {text_of(plain(value))[:300]}")
    elif kind == "text":
        if body.decode("utf-8", "replace") != value:
            raise Wrong(f"the body is {body[:200]!r} instead of {value!r}")
    elif kind == "bytes":
        if body != value.content:
            raise Wrong(f"the body is {body[:200]!r} instead of {value.content!r}")
    elif kind == "form":
        in_form(media, value, body)
    else:
        in_parts(document, media, value, declared[0], body)


def plain(value: Any) -> Any:
    """Files inside JSON are texts."""
    if isinstance(value, File):
        return value.content.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def in_form(media: Media, value: dict[str, Any], body: bytes) -> None:
    pairs = [tuple(pair.partition("=")[::2]) for pair in body.decode("ascii", "replace").split("&") if pair]
    for name, item in value.items():
        special = media.encoding.get(name) or {}
        told = any(key in special for key in ("style", "explode", "allowReserved"))
        if item is None:
            named(pairs, name)
            continue
        if not told and isinstance(item, (dict, list)):
            trials = []
            if isinstance(item, dict) or any(isinstance(one, (dict, list)) for one in item):
                trials = [as_json(pairs, name, item), as_deep(pairs, name, item)]
            elif "json" in (special.get("contentType") or ""):
                trials = [as_json(pairs, name, item)]
            else:
                trials = [as_form(pairs, name, item, {})]
            if isinstance(item, dict) and not any(isinstance(one, (dict, list)) for one in item.values()):
                trials.append(as_form(pairs, name, item, {}))
            rest = next((one for one in trials if one is not None), None)
            if rest is None:
                raise Wrong(f"the field `{name}` of {item!r} is in {['='.join(pair) for pair in pairs]}")
            pairs[:] = rest
            continue
        rest = as_form(pairs, name, item, special)
        if rest is None:
            raise Wrong(f"the field `{name}` of {item!r} with {special} is in {['='.join(pair) for pair in pairs]}")
        pairs[:] = rest
    if pairs:
        raise Wrong(f"the form holds {pairs[0]} too")


def as_json(pairs: list[Any], name: str, item: Any) -> list[Any] | None:
    trial = list(pairs)
    raws = named(trial, name)
    return trial if len(raws) == 1 and like(unquote(raws[0].replace("+", " ")), item) else None


def as_deep(pairs: list[Any], name: str, item: Any) -> list[Any] | None:
    trial = list(pairs)
    return trial if deep(trial, name, item, True) else None


def as_form(pairs: list[Any], name: str, item: Any, special: dict[str, Any]) -> list[Any] | None:
    trial = list(pairs)
    style = special.get("style", "form")
    parameter = Parameter(name, "query", True, {}, style, special.get("explode", style == "form"))
    try:
        in_pairs(parameter, item, trial, "form")
    except Wrong:
        return None
    return trial


def in_parts(document: Document, media: Media, value: dict[str, Any], content_type: str, body: bytes) -> None:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    if all(item is None for item in value.values()) and not message.is_multipart():
        return
    if not message.is_multipart():
        raise Wrong("the body has no parts")
    parts = [(str(part.get_param("name", header="content-disposition")), part.get_filename(), part.get("content-type"), part.get_payload(decode=True) or b"") for part in message.iter_parts()]
    for name, item in value.items():
        if item is None:
            continue
        special = media.encoding.get(name) or {}
        # In 3.0 these three count for urlencoded forms alone.
        styled = document.edition == 31 and any(key in special for key in ("style", "explode", "allowReserved"))
        if styled and isinstance(item, (dict, list)):
            part_styled(parts, name, item, special)
            continue
        whole = "json" in (special.get("contentType") or "")
        wanted = item if isinstance(item, list) and not whole else [item]
        for one in wanted:
            _, filename, kind, content = take(parts, lambda part, name=name: part[0] == name, f"there is no part `{name}`, or too few")
            if isinstance(one, File):
                if filename is None or content != one.content:
                    raise Wrong(f"the file `{name}` is {content[:80]!r} with the name {filename!r}")
            elif isinstance(one, (dict, list)) or whole:
                if not like(content.decode("utf-8", "replace"), one) or "json" not in (kind or ""):
                    raise Wrong(f"the part `{name}` is {content[:200]!r} of type {kind} for {one!r}")
            elif not (content.decode("utf-8", "replace") == text_of(one) or isinstance(one, (int, float)) and like(content.decode("utf-8", "replace"), one)):
                raise Wrong(f"the part `{name}` is {content[:200]!r} for {one!r}")
    if parts:
        raise Wrong(f"there is a part `{parts[0][0]}` too")


def part_styled(parts: list[Any], name: str, item: Any, special: dict[str, Any]) -> None:
    """Parts named and written as the pairs of a query, without or with its escapes."""
    style = special.get("style", "form")
    explode = special.get("explode", style == "form")
    before = [(part[0], part[3]) for part in parts]

    def text(key: str) -> str:
        return take(parts, lambda part: part[0] in (key, key.replace("[", "%5B").replace("]", "%5D")), f"there is no part `{key}` of {item!r}, {style}, explode {explode}: {before}")[3].decode("utf-8", "replace")

    def is_(got: str, one: Any) -> bool:
        return got == text_of(one) or unquote(got) == text_of(one)

    if style == "deepObject" and isinstance(item, dict):
        right = all(is_(text(f"{name}[{key}]"), one) for key, one in item.items())
    elif explode and isinstance(item, dict):
        right = all(is_(text(key), one) for key, one in item.items())
    elif explode or style == "deepObject":
        right = all(is_(text(name), one) for one in item)
    else:
        values = item if isinstance(item, list) else flat(item)
        got = text(name)
        between = {"spaceDelimited": ["%20", " "], "pipeDelimited": ["|", "%7C"]}.get(style, [",", "%2C"])
        right = any(len(got.split(one)) == len(values) and all(map(is_, got.split(one), values)) for one in between)
        right = right or got == unquote(between[0]).join(map(text_of, values))
    if not right:
        raise Wrong(f"the parts of `{name}` ({style}, explode {explode}) for {item!r} are {before}")
