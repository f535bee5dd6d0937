"""Every case of cases.json, through a real MCP client against a server in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sqlite3
import sys
from email.parser import BytesParser
from email.policy import HTTP
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runtime.application import Application  # noqa: E402

CASES = json.loads((ROOT / "tests" / "cases.json").read_text(encoding="utf-8"))
PACKAGE = json.loads((ROOT / "operations.json").read_text(encoding="utf-8"))
BASE = "http://api.test/base"


def parts_of(content_type: str, body: bytes) -> list[dict[str, Any]]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = []
    for part in message.iter_parts():
        entry = {"name": part.get_param("name", header="content-disposition"), "base64": base64.b64encode(part.get_payload(decode=True) or b"").decode()}
        if part.get_filename() is not None:
            entry["filename"] = part.get_filename()
        if part["content-type"] is not None:
            entry["content_type"] = str(part["content-type"])
        parts.append(entry)
    return parts


def judge(expected: dict[str, Any], request: httpx2.Request) -> None:
    raw = request.extensions["target"].decode()
    path, _, query = raw.partition("?")
    assert request.method == expected["method"]
    assert path == "/base" + expected["path"]
    assert query == expected["query"]
    for name, value in expected["headers"].items():
        assert request.headers.get(name) == value, name
    body, wanted = request.content, expected["body"]
    if wanted["type"] == "none":
        assert body == b""
    elif wanted["type"] == "json":
        assert json.loads(body) == wanted["value"]
    elif wanted["type"] == "text":
        assert body.decode() == wanted["text"]
    elif wanted["type"] == "binary":
        assert base64.b64encode(body).decode() == wanted["base64"]
    else:
        assert parts_of(request.headers["content-type"], body) == wanted["parts"]


def holds(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(key in got and holds(value, got[key]) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(got, list) and len(wanted) == len(got) and all(map(holds, wanted, got))
    return wanted == got and type(wanted) is type(got)


def environment(folder: Path) -> dict[str, str]:
    """Placeholders for every variable, so that every way in is open."""
    values = {}
    for scheme in PACKAGE["schemes"].values():
        if scheme["type"] in ("oauth2", "open_id_connect"):
            values[(scheme.get("oauth2") or scheme)["access_token"]] = "test-token"
        for key in ("variable", "username", "password"):
            if isinstance(scheme.get(key), str):
                values[scheme[key]] = "test-" + key
    values["API_BASE_URL"] = BASE
    database = PACKAGE.get("database")
    if database and database["dialect"] == "sqlite":
        file = folder / "copy.db"
        with sqlite3.connect(file) as connection:
            connection.executescript((ROOT / "tests" / "schema.sql").read_text(encoding="utf-8"))
        connection.close()
        values[database["variable"]] = str(file)
    elif database:
        values[database["variable"]] = os.environ.get(database["variable"], "")
    for tool in PACKAGE["tools"]:
        for name in tool["kind"].get("environment", []):
            values.setdefault(name, "test-value")
    return values


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    """What calls the cases that need a database server; a text says why there is none."""
    database = PACKAGE.get("database")
    if not database or database["dialect"] != "postgresql":
        yield {}
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from postgresql import backends

    made = backends(ROOT, PACKAGE, dict(os.environ))
    try:
        yield made
    finally:
        if not isinstance(made["copy"], str):
            made["copy"].driver.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, servers: dict[str, Any]) -> dict[str, Any]:
    """All calls on one connection, in the order of the file."""

    async def play() -> dict[str, Any]:
        outcomes: dict[str, Any] = {}
        application = Application(ROOT, environment(tmp_path_factory.mktemp("copy")))
        # The cases are calls of one moment; what limits them has nothing to do with each.
        application.limit.enabled = False
        seen: list[httpx2.Request] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            seen.append(request)
            return httpx2.Response(200, json={"received": True})

        async with Client(application.server()) as client:
            listed = (await client.list_tools()).tools
            outcomes["__tools__"] = [tool.name for tool in listed]
            backend = application.backends.get("http")
            if backend is not None:
                await backend.client.aclose()
                backend.client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
                backend.credentials.client = backend.client
            for case in CASES["cases"]:
                if case.get("needs"):
                    if isinstance(servers[case["needs"]], str):
                        continue
                    application.backends["sql"] = servers[case["needs"]]
                seen.clear()
                name, arguments = case["tool"], case["arguments"]
                if name not in outcomes["__tools__"]:
                    name, arguments = "call_operation", {"name": name, "arguments": arguments}
                result = await client.call_tool(name, arguments)
                outcomes[case["name"]] = (result, list(seen))
        return outcomes

    return asyncio.run(play())


def test_every_tool_is_listed(results: dict[str, Any]) -> None:
    if PACKAGE["mode"] == "direct":
        names = [tool["name"] for tool in PACKAGE["tools"]]
        assert results["__tools__"][: len(names)] == names
    else:
        assert results["__tools__"] == ["search_operations", "describe_operation", "call_operation"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in results["__tools__"])


@pytest.mark.parametrize("case", CASES["cases"], ids=[case["name"] for case in CASES["cases"]])
def test_case(case: dict[str, Any], results: dict[str, Any], servers: dict[str, Any]) -> None:
    if isinstance(servers.get(case.get("needs")), str):
        pytest.skip(servers[case["needs"]])
    result, seen = results[case["name"]]
    expect = case["expect"]
    text = result.content[0].text
    if expect["type"] == "request":
        assert not result.is_error, text
        assert len(seen) == 1
        judge(expect, seen[0])
    elif expect["type"] == "result":
        assert not result.is_error, text
        assert holds(expect["holds"], result.structured_content), text
    else:
        assert result.is_error and expect["holds"] in text, text
        assert not seen
