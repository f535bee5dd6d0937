"""The server: tools as operations.json says, checked, limited, logged and measured."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, AsyncIterator, Mapping

import anyio
import mcp_types as types
from mcp.server.lowlevel import Server

from . import FORMAT
from .errors import ToolFailure
from .schema import Checker, complete
from .search import Index
from .telemetry import Log, Metrics, RateLimit

# The envelope alone: a client refuses answers that do not fit, and APIs deviate from their word.
OUTPUT_SCHEMA = {
    "type": "object",
    "properties": {"status": {"type": "string"}, "http_status": {"type": "integer"}, "headers": {"type": "object"}, "data": {}},
    "required": ["status"],
}
LISTED = 25


class Application:
    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environment = dict(os.environ if environment is None else environment)
        self.package = json.loads((root / "operations.json").read_text(encoding="utf-8"))
        if self.package["format"] != FORMAT:
            raise SystemExit(f"operations.json has the format {self.package['format']}, this runtime reads {FORMAT}")
        features = self.package["features"]
        self.tools = {tool["name"]: tool for tool in self.package["tools"]}
        self.checker = Checker(self.package["defs"])
        self.log = Log(features["enable_logging"])
        self.metrics = Metrics(features["enable_metrics"])
        self.limit = RateLimit(
            features["enable_rate_limiting"], features["rate_limit_requests"], features["rate_limit_window_seconds"]
        )
        self.backends = self.make_backends()
        self.index: Index | None = None
        self.answers: dict[str, Any] | None = None
        self.front = self.front_tools()

    def make_backends(self) -> dict[str, Any]:
        kinds = {tool["kind"]["type"] for tool in self.package["tools"]}
        backends: dict[str, Any] = {}
        if "http" in kinds:
            from .http import HttpBackend

            backends["http"] = HttpBackend(self.package, self.environment)
        if "sql" in kinds:
            from .database import DatabaseBackend

            backends["sql"] = DatabaseBackend(self.package, self.environment)
        if "function" in kinds:
            from .functions import FunctionBackend

            backends["function"] = FunctionBackend(self.package, self.environment, self.root)
        return backends

    def front_tools(self) -> dict[str, types.Tool]:
        """What tools/list says."""
        tools = {}
        direct = self.package["mode"] == "direct"
        shortened = any("listed_schema" in tool for tool in self.tools.values())
        if direct:
            for tool in self.tools.values():
                schema = tool.get("listed_schema") or complete(tool["input_schema"], self.package["defs"])
                hints = tool["annotations"]
                tools[tool["name"]] = types.Tool(
                    name=tool["name"],
                    title=tool["title"],
                    description=tool.get("listed_description") or tool["description"],
                    input_schema=schema,
                    output_schema=OUTPUT_SCHEMA,
                    annotations=types.ToolAnnotations(
                        read_only_hint=hints["read_only"],
                        destructive_hint=hints["destructive"],
                        idempotent_hint=hints["idempotent"],
                        open_world_hint=hints["open_world"],
                    ),
                )
        for name, (title, description, schema, read_only) in FRONT.items():
            if direct and not (name == "describe_operation" and shortened):
                continue
            if name in tools:
                continue
            tools[name] = types.Tool(
                name=name,
                title=title,
                description=description.format(count=len(self.tools), title=self.package["title"]),
                input_schema=schema,
                output_schema=OUTPUT_SCHEMA,
                annotations=types.ToolAnnotations(
                    read_only_hint=read_only, destructive_hint=not read_only, idempotent_hint=read_only, open_world_hint=not read_only
                ),
            )
        return tools

    async def open(self) -> None:
        for backend in self.backends.values():
            await backend.open()

    async def close(self) -> None:
        for backend in self.backends.values():
            await backend.close()

    async def health(self) -> dict[str, Any]:
        parts = {name: await backend.health() for name, backend in self.backends.items()}
        return {"ok": all(part["ok"] for part in parts.values()), "tools": len(self.tools), "parts": parts}

    def server(self) -> Server[Any]:
        @asynccontextmanager
        async def lifespan(_: Server[Any]) -> AsyncIterator[dict[str, Any]]:
            await self.open()
            try:
                yield {}
            finally:
                await self.close()

        async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
            return types.ListToolsResult(tools=list(self.front.values()))

        async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
            return await self.call(params.name, params.arguments or {})

        return Server(
            self.package["name"],
            version=self.package["version"] or "1",
            title=self.package["title"],
            description=self.package["description"][:300] or None,
            lifespan=lifespan,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
        )

    async def call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        started = time.monotonic()
        outcome = "success"
        try:
            self.limit.take()
            result = await self.dispatch(name, arguments)
            return reply(result, False)
        except ToolFailure as failure:
            outcome = "error"
            return reply({"status": "error", "message": failure.message, **failure.details}, True)
        except TimeoutError:
            outcome = "error"
            return reply({"status": "error", "message": f"`{name}` took too long"}, True)
        except Exception as error:  # noqa: BLE001 - a fault here must not end the connection
            outcome = "fault"
            self.log.write("fault", tool=name, kind=type(error).__name__)
            return reply({"status": "error", "message": f"internal error in `{name}`: {type(error).__name__}"}, True)
        finally:
            seconds = time.monotonic() - started
            known = name if name in self.tools or name in self.front else "unknown"
            self.metrics.retries = sum(getattr(backend, "retries", 0) for backend in self.backends.values())
            self.metrics.record(known, outcome, seconds)
            self.log.write("call", tool=known, outcome=outcome, duration_ms=round(seconds * 1000))

    async def dispatch(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if name in self.front and name in FRONT and name not in self.tools:
            self.checker.check("front:" + name, FRONT[name][2], arguments)
            if name == "search_operations":
                return self.search(arguments)
            if name == "describe_operation":
                return self.describe(arguments["name"])
            return await self.run(arguments["name"], arguments.get("arguments") or {})
        if name not in self.front:
            raise ToolFailure(f"there is no tool `{name}`", {"tools": list(self.front)[:50]})
        return await self.run(name, arguments)

    async def run(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        tool = self.tools.get(name)
        if tool is None:
            near = [entry["name"] for entry in self.searched(name, 5)]
            raise ToolFailure(f"there is no operation `{name}`", {"nearest": near})
        self.checker.check(name, tool["input_schema"], arguments)
        return await self.backends[tool["kind"]["type"]].call(tool, arguments)

    def searched(self, query: str, limit: int) -> list[dict[str, Any]]:
        if self.index is None:
            self.index = Index(self.package["tools"])
        return self.index.search(query, limit)

    def search(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = self.searched(arguments["query"], arguments.get("limit") or 10)
        return {
            "status": "success",
            "operations": [{"name": tool["name"], "description": tool["description"][:200]} for tool in found],
        }

    def describe(self, name: str) -> dict[str, Any]:
        tool = self.tools.get(name)
        if tool is None:
            near = [entry["name"] for entry in self.searched(name, 5)]
            raise ToolFailure(f"there is no operation `{name}`", {"nearest": near})
        result = {
            "status": "success",
            "name": name,
            "description": tool["description"],
            "input_schema": complete(tool["input_schema"], self.package["defs"]),
        }
        if self.answers is None:
            file = self.root / "responses.json"
            self.answers = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"responses": {}, "defs": {}}
        responses = self.answers["responses"].get(name)
        if responses:
            text = complete({"responses": responses}, self.answers["defs"])
            # What would fill a conversation is left out; the codes and their meaning stay.
            if len(json.dumps(text)) > 40_000:
                text = {"responses": {code: {"description": entry.get("description", "")} for code, entry in responses.items()}}
            result["output"] = text
        return result


FRONT: dict[str, tuple[str, str, dict[str, Any], bool]] = {
    "search_operations": (
        "Search operations",
        "Finds operations of {title} by words; it has {count}. Then look at one with describe_operation and call it with call_operation.",
        {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What the operation should do"},
                "limit": {"type": "integer", "minimum": 1, "maximum": LISTED, "default": 10},
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        True,
    ),
    "describe_operation": (
        "Describe an operation",
        "The full schema of an operation's arguments, and what it answers.",
        {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "Name of the operation"}},
            "required": ["name"],
            "additionalProperties": False,
        },
        True,
    ),
    "call_operation": (
        "Call an operation",
        "Calls an operation of {title} with arguments that fit its schema.",
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Name of the operation"},
                "arguments": {"type": "object", "description": "Its arguments, as describe_operation tells", "default": {}},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        False,
    ),
}


def reply(result: dict[str, Any], is_error: bool) -> types.CallToolResult:
    text = json.dumps(result, ensure_ascii=False, default=str)
    structured = None if is_error else json.loads(text)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=structured, is_error=is_error
    )


async def serve_stdio(application: Application) -> None:
    from mcp.server.stdio import stdio_server

    server = application.server()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def serve_http(application: Application, host: str, port: int) -> None:
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse
    from starlette.routing import Route

    async def health(_: Request) -> JSONResponse:
        state = await application.health()
        return JSONResponse(state, status_code=200 if state["ok"] else 503)

    async def metrics(_: Request) -> PlainTextResponse:
        return PlainTextResponse(application.metrics.text(), media_type="text/plain; version=0.0.4")

    routes = [Route("/health", health)]
    if application.metrics.enabled:
        routes.append(Route("/metrics", metrics))
    names = application.environment.get("ALLOWED_HOSTS")
    security = None
    if names:
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=names.split(","),
            allowed_origins=[f"{scheme}://{name}" for name in names.split(",") for scheme in ("http", "https")],
        )
    app = application.server().streamable_http_app(
        stateless_http=True, json_response=True, host=host, transport_security=security, custom_starlette_routes=routes
    )
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve()


async def authorize(application: Application, name: str) -> None:
    from .auth import print_page

    backend = application.backends.get("http") or application.backends.get("function")
    await application.open()
    try:
        credentials = backend.credentials if backend else None
        tokens = credentials.tokens.get(name) if credentials else None
        if tokens is None:
            raise SystemExit(f"there is no OAuth2 scheme `{name}`")
        await tokens.authorize(print_page)
        print("authorized", file=sys.stderr)
    except ToolFailure as failure:
        raise SystemExit(failure.message) from None
    finally:
        await application.close()


def main(root: Path) -> None:
    parser = argparse.ArgumentParser(description="An MCP server.")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve streamable HTTP instead of standard input and output")
    parser.add_argument("--authorize", metavar="SCHEME", help="let the user agree to an OAuth2 scheme, then end")
    parser.add_argument("--health", action="store_true", help="print the state as JSON and end")
    options = parser.parse_args()
    try:
        application = Application(root)
    except ToolFailure as failure:
        raise SystemExit(failure.message) from None
    if options.health:
        state = anyio.run(checked, application)
        print(json.dumps(state))
        raise SystemExit(0 if state["ok"] else 1)
    if options.authorize:
        anyio.run(authorize, application, options.authorize)
    elif options.http:
        host, _, port = options.http.rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            parser.error(f"--http wants HOST:PORT, not `{options.http}`")
        anyio.run(serve_http, application, host or "127.0.0.1", int(port))
    else:
        anyio.run(serve_stdio, application)


async def checked(application: Application) -> dict[str, Any]:
    await application.open()
    try:
        return await application.health()
    finally:
        await application.close()
