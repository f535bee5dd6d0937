"""Tools whose body is a file of the package: `async def run(args, ctx)` below tools/."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any, Mapping

import anyio
import httpx2

from .auth import Credentials
from .errors import ToolFailure


class Signed(httpx2.Auth):
    """Adds the package's credentials to requests to its API, and to no other host."""

    def __init__(self, credentials: Credentials, base: str) -> None:
        self.credentials = credentials
        self.base = httpx2.URL(base)
        self.wanted = {"security": [{"schemes": {name: []}} for name in credentials.schemes]}

    async def async_auth_flow(self, request: httpx2.Request) -> Any:
        own = (request.url.scheme, request.url.host, request.url.port)
        if own != (self.base.scheme, self.base.host, self.base.port):
            yield request
            return
        plain = request.url
        await self.sign(request, plain)
        response = yield request
        if response.status_code == 401 and await self.credentials.renew(self.wanted):
            await self.sign(request, plain)
            yield request

    async def sign(self, request: httpx2.Request, url: httpx2.URL) -> None:
        headers, query, cookies = await self.credentials.of(self.wanted)
        for name, value in headers:
            request.headers[name] = value
        if query:
            whole = "&".join(part for part in [url.query.decode(), *query] if part)
            request.url = url.copy_with(query=whole.encode())
        if cookies:
            request.headers["Cookie"] = "; ".join(cookies)


class Context:
    """What a body may use: the variables that it declared, and an HTTP client."""

    def __init__(self, environment: dict[str, str], http: httpx2.AsyncClient) -> None:
        self.environment = environment
        self.http = http

    def fail(self, message: str) -> None:
        raise ToolFailure(message)


class FunctionBackend:
    def __init__(self, package: dict[str, Any], environment: Mapping[str, str], root: Path) -> None:
        self.package, self.environment, self.root = package, environment, root
        self.modules: dict[str, ModuleType] = {}
        self.http: httpx2.AsyncClient | None = None
        self.plain: httpx2.AsyncClient | None = None
        self.credentials: Credentials | None = None

    async def open(self) -> None:
        if self.package["schemes"]:
            # Where credentials are sent along, nobody else may lead the request elsewhere.
            self.plain = httpx2.AsyncClient(timeout=30.0, follow_redirects=False)
            self.credentials = Credentials(self.package, self.environment, self.plain)
            signed = Signed(self.credentials, self.package["servers"][0]["url"])
            self.http = httpx2.AsyncClient(timeout=30.0, follow_redirects=False, auth=signed)
        else:
            self.http = httpx2.AsyncClient(timeout=30.0, follow_redirects=True)
        for tool in self.package["tools"]:
            if tool["kind"]["type"] == "function":
                self.module(tool["kind"]["module"])

    async def close(self) -> None:
        for client in (self.http, self.plain):
            if client is not None:
                await client.aclose()

    async def health(self) -> dict[str, Any]:
        return {"ok": True, "detail": f"{len(self.modules)} functions"}

    def module(self, name: str) -> ModuleType:
        if name not in self.modules:
            file = self.root / "tools" / f"{name}.py"
            spec = importlib.util.spec_from_file_location(f"tools.{name}", file)
            if spec is None or spec.loader is None:
                raise ToolFailure(f"the file of the tool `{name}` is missing")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            self.modules[name] = module
        return self.modules[name]

    async def call(self, tool: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        kind = tool["kind"]
        assert self.http is not None
        missing = [name for name in kind["environment"] if not self.environment.get(name)]
        if missing:
            raise ToolFailure("this call needs the environment variable " + ", ".join(missing), {"missing": missing})
        context = Context({name: self.environment[name] for name in kind["environment"]}, self.http)
        run = getattr(self.module(kind["module"]), "run")
        with anyio.fail_after(120):
            if inspect.iscoroutinefunction(run):
                result = await run(arguments, context)
            else:
                result = await anyio.to_thread.run_sync(run, arguments, context)
        return {"status": "success", "data": result}
