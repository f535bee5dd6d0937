"""One side of the comparison: servers from the same descriptions, called with the same values, judged
by the same judge.

    compare.py SIDE LIST RESULT [--sample N] [--awkward] [options of the side]

SIDE: `ours` (packages in `folder`, with the `seconds` that making them took), `fastmcp` or
`generator` (`--node`, `--place`: a folder with node_modules). What a side cannot read, list or call
counts as wrong; addresses of servers are not judged, and credentials of ours alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from check import Checker  # noqa: E402
from client import Client, Closed  # noqa: E402
from judge import NOTHING, Plan, Planner, Wrong, judge, plain  # noqa: E402
from mock import Mock  # noqa: E402
from standard import Document, Operation, load  # noqa: E402
from values import Impossible  # noqa: E402

OPTIONS: argparse.Namespace
# How long one call or one answer may take.
PATIENCE = 60


def planned(document: Document, sample: int, awkward: bool, name: str) -> list[tuple[Operation, Plan]]:
    """The same calls for every side: everything that the description allows, in one call."""
    planner = Planner(document, Checker(document))
    operations = list(document.operations())
    if sample and len(operations) > sample and "parameters-style" not in name:
        step = len(operations) / sample
        operations = [operations[int(index * step)] for index in range(sample)]
    calls = []
    for operation in operations:
        try:
            calls.append((operation, planner.plan(operation, awkward, True)))
        except Impossible:
            continue
    return calls


class Ours:
    """Servers of our packages, started as users start them."""

    def __init__(self, entry: dict[str, Any], document: Document) -> None:
        from ours import Package, Warm

        del document
        self.package = Package(Path(entry["folder"]))
        self.seconds = entry["seconds"]
        self.warm = Warm(OPTIONS.python, True, OPTIONS.place)
        self.folder = entry["folder"]
        self.tools = {}

    async def open(self, base: str) -> int:
        from ours import make_certificate

        make_certificate(OPTIONS.python, OPTIONS.place)
        environment, self.given = self.package.credentials(OPTIONS.place)
        self.running = self.warm.start(self.folder, {**environment, "API_BASE_URL": base})
        self.running.client.hello()
        return self.running.client.tools()[1]

    async def call(self, operation: Operation, plan: Plan) -> str:
        if operation.key not in self.tools:
            self.tools[operation.key] = self.package.tool(operation)
        tool = self.tools[operation.key]
        if tool is None:
            return "there is no tool"
        return self.running.client.call(*self.package.call(tool, plan))[1]

    async def close(self) -> None:
        self.running.stop()


class FastMcp:
    """`FastMCP.from_openapi`, called through its own client in this process."""

    def __init__(self, entry: dict[str, Any], document: Document) -> None:
        import httpx2
        from fastmcp import FastMCP

        del entry
        self.routes: dict[str, tuple[Any, Any]] = {}
        self.http = httpx2.AsyncClient(base_url="http://127.0.0.1:1")
        begun = time.perf_counter()
        # What APIs answer is not judged here; so nothing is refused for it.
        self.server = FastMCP.from_openapi(document.root, client=self.http, mcp_component_fn=self.note, validate_output=False)
        self.seconds = time.perf_counter() - begun

    def note(self, route: Any, component: Any) -> None:
        self.routes.setdefault(f"{route.method.upper()} {route.path}", (route, component))

    async def open(self, base: str) -> int:
        from fastmcp import Client as Theirs

        self.http.base_url = base
        self.client = Theirs(self.server)
        await self.client.__aenter__()
        tools = await asyncio.wait_for(self.client.list_tools(), PATIENCE)
        return len(json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools], ensure_ascii=False).encode())

    async def call(self, operation: Operation, plan: Plan) -> str:
        from fastmcp.utilities.openapi.director import _prepare_parameter_map

        found = self.routes.get(operation.key)
        if found is None:
            return "there is no tool"
        route, component = found
        _, names = _prepare_parameter_map(route)
        arguments: dict[str, Any] = {}
        for argument, target in names.items():
            place, name = target["location"], target["openapi_name"]
            if place == "body":
                if isinstance(plan.body, dict):
                    if name in plan.body:
                        arguments[argument] = plain(plan.body[name])
                elif plan.body is not NOTHING:
                    arguments[argument] = plain(plan.body)
            elif (place, name) in plan.values:
                arguments[argument] = plan.values[(place, name)]
        result = await asyncio.wait_for(self.client.call_tool(component.name, arguments, raise_on_error=False), PATIENCE)
        return " ".join(str(getattr(block, "text", ""))[:300] for block in result.content)

    async def close(self) -> None:
        await self.client.__aexit__(None, None, None)
        await self.http.aclose()


class Generator:
    """A server that openapi-mcp-generator wrote, with its types removed, in Node."""

    def __init__(self, entry: dict[str, Any], document: Document) -> None:
        del document
        self.folder = Path(OPTIONS.place) / "generated" / re.sub(r"\W", "_", entry["name"])
        program = Path(OPTIONS.place) / "node_modules/openapi-mcp-generator/bin/openapi-mcp-generator.js"
        begun = time.perf_counter()
        run([OPTIONS.node, str(program), "--input", entry["spec"], "--output", str(self.folder), "--base-url", "http://127.0.0.1:1", "--force"])
        self.seconds = time.perf_counter() - begun
        sources = [str(one) for one in (self.folder / "src").glob("*.ts")]
        run([str(Path(OPTIONS.place) / "node_modules/.bin/esbuild"), *sources, f"--outdir={self.folder}/build", "--format=esm", "--log-level=error"])
        text = (self.folder / "src/index.ts").read_text(encoding="utf-8")
        found = re.findall(r'\n  \["((?:[^"\\]|\\.)*)", \{.*?\n    method: "(\w+)",\n    pathTemplate: "((?:[^"\\]|\\.)*)"', text, re.S)
        self.tools = {f"{method.upper()} {json.loads(chr(34) + path + chr(34))}": name for name, method, path in found}

    async def open(self, base: str) -> int:
        environment = {"PATH": os.environ["PATH"], "API_BASE_URL": base}
        self.child = subprocess.Popen(
            [OPTIONS.node, "build/index.js"], cwd=self.folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.client = Client(self.child.stdout, self.child.stdin)  # type: ignore[arg-type]
        self.client.hello()
        return self.client.tools()[1]

    async def call(self, operation: Operation, plan: Plan) -> str:
        name = self.tools.get(operation.key)
        if name is None:
            return "there is no tool"
        arguments = {parameter: value for (_, parameter), value in plan.values.items()}
        if plan.body is not NOTHING:
            arguments["requestBody"] = plain(plan.body)
        return self.client.call(name, arguments)[1]

    async def close(self) -> None:
        self.child.kill()
        self.child.wait()


def run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if ended.returncode != 0:
        raise Closed((ended.stderr or ended.stdout)[-300:])


SIDES = {"ours": Ours, "fastmcp": FastMcp, "generator": Generator}


async def one(entry: dict[str, Any], mock: Mock) -> dict[str, Any]:
    document = Document(load(Path(entry["spec"])))
    calls = planned(document, OPTIONS.sample, OPTIONS.awkward, entry["name"])
    result: dict[str, Any] = {"name": entry["name"], "judged": len(calls), "right": 0, "wrong": []}
    place = re.sub(r"\W", "-", entry["name"])
    try:
        side = SIDES[OPTIONS.side](entry, document)
        result["seconds"] = side.seconds
        result["list_bytes"] = await side.open(mock.base(place))
    except Exception as error:  # noqa: BLE001 - a side that cannot use a description is wrong about all of it
        result["unusable"] = f"{type(error).__name__}: {str(error)[:300]}"
        return result
    for operation, plan in calls:
        mock.take(place)
        try:
            text = await side.call(operation, plan)
        except Exception as error:  # noqa: BLE001 - likewise
            text = f"{type(error).__name__}: {error}"
        received = mock.take(place)
        try:
            if len(received) != 1:
                raise Wrong(f"{len(received)} requests arrived; {text[:200]}")
            # Ours was given credentials; the others are not asked for any.
            judge(document, operation, plan, received[0], getattr(side, "given", None), f"/{place}")
            result["right"] += 1
        except Wrong as wrong:
            result["wrong"].append(f"{operation.key}: {str(wrong)[:400]}")
    try:
        await side.close()
    except Exception:  # noqa: BLE001 - it is at its end anyway
        pass
    return result


def main() -> None:
    global OPTIONS
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("list")
    parser.add_argument("result")
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--awkward", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--node", default="node")
    parser.add_argument("--place", default=".")
    OPTIONS = parser.parse_args()
    mock = Mock()
    results = []
    for entry in json.loads(Path(OPTIONS.list).read_text(encoding="utf-8")):
        results.append(asyncio.run(one(entry, mock)))
    Path(OPTIONS.result).write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")


main()
