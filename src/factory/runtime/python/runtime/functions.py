"""Tools whose body is a file of the package: `async def run(args, ctx)` below tools/."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any, Mapping

import anyio
import httpx2

from .errors import ToolFailure


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

    async def open(self) -> None:
        self.http = httpx2.AsyncClient(timeout=30.0, follow_redirects=True)
        for tool in self.package["tools"]:
            if tool["kind"]["type"] == "function":
                self.module(tool["kind"]["module"])

    async def close(self) -> None:
        if self.http is not None:
            await self.http.aclose()

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
