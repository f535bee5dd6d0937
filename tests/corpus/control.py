"""The judge judged: the examples that the standard itself prints must be right, and each of them with
a fault must be wrong. Prints how many were looked at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from judge import NOTHING, Plan, Request, Wrong, judge  # noqa: E402
from standard import Document, Media  # noqa: E402
from values import File  # noqa: E402

ARRAY = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}
# Place, style, explode, value, what is sent, and what would be wrong.
STYLES: list[tuple[str, str, bool, Any, str, list[str]]] = [
    ("path", "matrix", False, "blue", ";color=blue", ["blue", ";color=red", ".blue"]),
    ("path", "matrix", False, ARRAY, ";color=blue,black,brown", [";color=blue;color=black;color=brown", ";color=blue,brown,black"]),
    ("path", "matrix", False, OBJECT, ";color=R,100,G,200,B,150", [";R=100;G=200;B=150"]),
    ("path", "matrix", True, ARRAY, ";color=blue;color=black;color=brown", [";color=blue,black,brown"]),
    ("path", "matrix", True, OBJECT, ";R=100;G=200;B=150", [";R=100;G=200", ";R=100;G=200;B=151"]),
    ("path", "label", False, ARRAY, ".blue,black,brown", [".blue.black.brown", "blue,black,brown"]),
    ("path", "label", True, ARRAY, ".blue.black.brown", [".blue,black,brown"]),
    ("path", "label", False, OBJECT, ".R,100,G,200,B,150", [".R=100.G=200.B=150"]),
    ("path", "label", True, OBJECT, ".R=100.G=200.B=150", [".R,100,G,200,B,150"]),
    ("path", "simple", False, "a b/c", "a%20b%2Fc", ["a+b%2Fc", "a%20b/c", "a%20b%252Fc"]),
    ("path", "simple", False, ARRAY, "blue,black,brown", ["blue", "blue|black|brown"]),
    ("path", "simple", False, ["a,b", "c"], "a%2Cb,c", ["a,b,c", "a%2Cb%2Cc"]),
    ("path", "simple", False, OBJECT, "R,100,G,200,B,150", ["R=100,G=200,B=150"]),
    ("path", "simple", True, OBJECT, "R=100,G=200,B=150", ["R,100,G,200,B,150"]),
    ("query", "form", True, "blue", "color=blue", ["color=Blue", "colour=blue", "color=blue&more=1", ""]),
    ("query", "form", True, "a b&c+é", "color=a%20b%26c%2B%C3%A9", ["color=a%20b&c%2B%C3%A9", "color=a%20b%26c+%C3%A9", "color=a%20b%26c%2B%E9"]),
    ("query", "form", False, ARRAY, "color=blue,black,brown", ["color=blue&color=black&color=brown", "color=blue"]),
    ("query", "form", True, ARRAY, "color=blue&color=black&color=brown", ["color=blue,black,brown", "color=black&color=blue&color=brown"]),
    ("query", "form", False, OBJECT, "color=R,100,G,200,B,150", ["R=100&G=200&B=150"]),
    ("query", "form", True, OBJECT, "R=100&G=200&B=150", ["color=R,100,G,200,B,150", "R=100&G=200"]),
    ("query", "spaceDelimited", False, ARRAY, "color=blue%20black%20brown", ["color=blue,black,brown"]),
    ("query", "pipeDelimited", False, ARRAY, "color=blue|black|brown", ["color=blue%20black%20brown"]),
    ("query", "pipeDelimited", False, ARRAY, "color=blue%7Cblack%7Cbrown", ["color=blue"]),
    ("query", "deepObject", True, OBJECT, "color[R]=100&color[G]=200&color[B]=150", ["R=100&G=200&B=150", "color.R=100&color.G=200&color.B=150"]),
    ("query", "deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150", ["color%5BR%5D=100"]),
    ("query", "form", True, True, "color=true", ["color=True", "color=1"]),
    ("query", "form", True, 1.5, "color=1.5", ["color=1.50001", "color=15e-1"]),
    ("query", "form", True, 7, "color=7", ["color=7.0", "color=%227%22"]),
    ("header", "simple", False, ARRAY, "blue,black,brown", ["blue;black;brown"]),
    ("header", "simple", False, OBJECT, "R,100,G,200,B,150", ["R=100,G=200,B=150"]),
    ("header", "simple", True, OBJECT, "R=100,G=200,B=150", ["R,100,G,200,B,150", "R=100,G=200"]),
    ("cookie", "form", False, ARRAY, "color=blue,black,brown", ["color=blue; color=black; color=brown"]),
    ("cookie", "form", True, "blue", "color=blue", ["color=red"]),
]
BOUNDARY = "xyz"


def parts(*all_parts: str) -> bytes:
    return "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in all_parts).encode() + f"--{BOUNDARY}--\r\n".encode()


def field(name: str, content: str, more: str = "", head: str = "") -> str:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n{head}\r\n{content}'


JSON_HEAD = "Content-Type: application/json\r\n"
# Edition, media type, encoding, value, content type and body that are sent, and bodies that are wrong.
BODIES: list[tuple[str, str, dict[str, Any], Any, str, bytes, list[bytes]]] = [
    ("3.0.3", "application/json", {}, {"a": 1, "b": [True]}, "application/json", b'{"b": [true], "a": 1.0}', [b'{"a": 1}', b'{"a": 1, "b": [1]}', b'{"a": "1", "b": [true]}', b"", b"a=1"]),
    ("3.0.3", "application/x-www-form-urlencoded", {}, {"a": "b c", "d": [1, 2]}, "application/x-www-form-urlencoded", b"a=b+c&d=1&d=2", [b"a=b+c&d=1,2", b"a=b+c", b"a=b+c&d=1&d=2&e=3", b'{"a":"b c","d":[1,2]}']),
    ("3.0.3", "application/x-www-form-urlencoded", {"d": {"style": "form", "explode": False}}, {"d": [1, 2]}, "application/x-www-form-urlencoded", b"d=1,2", [b"d=1&d=2"]),
    ("3.0.3", "application/x-www-form-urlencoded", {}, {"o": {"k": ["x"]}}, "application/x-www-form-urlencoded", b"o%5Bk%5D=x", [b"o=k,x", b"k=x"]),
    ("3.0.3", "multipart/form-data", {}, {"a": "b", "o": {"k": 1}}, f"multipart/form-data; boundary={BOUNDARY}", parts(field("a", "b"), field("o", '{"k":1}', head=JSON_HEAD)), [parts(field("a", "b")), parts(field("a", "b"), field("o", '{"k":1}')), parts(field("a", "b"), field("o", '{"k":1}', head=JSON_HEAD), field("c", "d"))]),
    ("3.0.3", "multipart/form-data", {}, {"f": File(b"bytes")}, f"multipart/form-data; boundary={BOUNDARY}", parts(field("f", "bytes", '; filename="x"')), [parts(field("f", "bytes")), parts(field("f", "other", '; filename="x"'))]),
    ("3.1.0", "multipart/form-data", {"l": {"style": "form", "explode": False}}, {"l": ["a", "b"]}, f"multipart/form-data; boundary={BOUNDARY}", parts(field("l", "a,b")), [parts(field("l", "a"), field("l", "b"))]),
    ("3.0.3", "multipart/form-data", {"l": {"style": "form", "explode": False}}, {"l": ["a", "b"]}, f"multipart/form-data; boundary={BOUNDARY}", parts(field("l", "a"), field("l", "b")), [parts(field("l", "a,b"))]),
    ("3.1.0", "multipart/form-data", {"o": {"style": "deepObject", "explode": True}}, {"o": {"k": "v"}}, f"multipart/form-data; boundary={BOUNDARY}", parts(field("o[k]", "v")), [parts(field("o", '{"k":"v"}', head=JSON_HEAD))]),
    ("3.0.3", "text/plain", {}, "é\n", "text/plain", "é\n".encode(), ["é".encode(), b'"\xc3\xa9\\n"']),
    ("3.0.3", "application/octet-stream", {}, File(b"\x00\xff"), "application/octet-stream", b"\x00\xff", [b"\x00", b"AP8="]),
]


def is_right(document: dict[str, Any], plan: Plan, request: Request, given: dict[str, Any]) -> bool:
    read = Document(document)
    try:
        judge(read, next(read.operations()), plan, request, given, "/base")
    except Wrong:
        return False
    return True


def styled(place: str, style: str, explode: bool, value: Any, sent: str) -> bool:
    path = "/x/{color}/y" if place == "path" else "/x"
    parameter = {"name": "color", "in": place, "required": True, "style": style, "explode": explode, "schema": {}}
    document = {"openapi": "3.0.3", "paths": {path: {"get": {"parameters": [parameter]}}}}
    target = "/base" + path.replace("{color}", sent) + (f"?{sent}" if place == "query" and sent else "")
    headers = [("color" if place == "header" else "Cookie", sent)] if place in ("header", "cookie") else []
    return is_right(document, Plan({(place, "color"): value}), Request("GET", target, headers, b""), {})


def bodied(edition: str, kind: str, encoding: dict[str, Any], value: Any, content_type: str, sent: bytes) -> bool:
    content = {kind: {"schema": {"type": "object"}, "encoding": encoding}}
    document = {"openapi": edition, "paths": {"/x": {"post": {"requestBody": {"content": content}}}}}
    plan = Plan(body=value, media=Media(kind, {}, encoding))
    return is_right(document, plan, Request("POST", "/base/x", [("Content-Type", content_type)], sent), {})


def credentials() -> int:
    schemes = {"key": {"type": "apiKey", "in": "query", "name": "k"}, "user": {"type": "http", "scheme": "basic"}}
    given = {"key": "s e", "user": ("a", "b:c")}
    basic = [("Authorization", "Basic YTpiOmM=")]
    count = 0
    for security, target, headers, right in [
        ([{"key": []}], "/base/x?k=s%20e", [], True),
        ([{"key": []}], "/base/x", [], False),
        ([{"key": []}], "/base/x?k=other", [], False),
        ([{"user": []}], "/base/x", basic, True),
        ([{"user": []}], "/base/x", [("Authorization", "Bearer YTpiOmM=")], False),
        ([{"user": []}, {"key": []}], "/base/x?k=s%20e", [], True),
        ([{"user": [], "key": []}], "/base/x?k=s%20e", [], False),
        ([{"user": [], "key": []}], "/base/x?k=s%20e", basic, True),
        ([{}, {"user": []}], "/base/x", [], True),
        ([], "/base/x", [], True),
        ([], "/base/x", basic, False),
    ]:
        document = {"openapi": "3.0.3", "components": {"securitySchemes": schemes}, "paths": {"/x": {"get": {"security": security}}}}
        assert is_right(document, Plan(), Request("GET", target, headers, b""), given) is right, (security, target, headers)
        count += 1
    return count


def main() -> None:
    count = 0
    for place, style, explode, value, sent, faults in STYLES:
        assert styled(place, style, explode, value, sent), (place, style, explode, value, sent)
        count += 1
        for fault in faults:
            assert not styled(place, style, explode, value, fault), (place, style, explode, value, fault)
            count += 1
    for edition, kind, encoding, value, content_type, sent, faults in BODIES:
        assert bodied(edition, kind, encoding, value, content_type, sent), (edition, kind, value, sent)
        assert not bodied(edition, kind, encoding, value, "application/pdf", sent), (edition, kind, "content type")
        count += 2
        for fault in faults:
            assert not bodied(edition, kind, encoding, value, content_type, fault), (edition, kind, value, fault)
            count += 1
    document = {"openapi": "3.0.3", "paths": {"/x": {"post": {}}}}
    assert is_right(document, Plan(body=NOTHING), Request("POST", "/base/x", [], b""), {})
    assert not is_right(document, Plan(body=NOTHING), Request("POST", "/base/x", [], b"{}"), {})
    assert not is_right(document, Plan(body=NOTHING), Request("PUT", "/base/x", [], b""), {})
    assert not is_right(document, Plan(body=NOTHING), Request("POST", "/base/y", [], b""), {})
    print(count + 4 + credentials())


main()
