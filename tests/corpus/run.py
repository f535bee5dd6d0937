"""Judges packages: every operation of a description, called with everything and with the least.

    run.py LIST RESULT PYTHON [--sample N] [--jobs N] [--cold]

LIST: JSON, `[{"name", "spec", "folder"}]`. Operations are sampled at even distances, but for
descriptions of styles of parameters, of which all are called. Prints a line per description; RESULT
is written as JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from check import Checker  # noqa: E402
from client import Closed  # noqa: E402
from judge import Plan, Planner, Wrong, judge  # noqa: E402
from mock import Mock  # noqa: E402
from ours import Package, Warm, make_certificate  # noqa: E402
from standard import Document, Operation, load  # noqa: E402
from values import Impossible  # noqa: E402

LIST_BYTES = 100_000
# Both sides of a worker: the API, and what starts the servers.
MOCK: Mock
WARM: Warm


def ready(python: str, cold: bool, folder: str) -> None:
    global MOCK, WARM
    MOCK, WARM = Mock(), Warm(python, cold, folder)


def sampled(operations: list[Operation], most: int, name: str) -> list[Operation]:
    if most == 0 or len(operations) <= most or "parameters-style" in name:
        return operations
    step = len(operations) / most
    return [operations[int(index * step)] for index in range(most)]


def plans(planner: Planner, operation: Operation) -> list[Plan]:
    """With everything, with the least, and once with each further media type."""
    made = [planner.plan(operation, True, True), planner.plan(operation, True, False), planner.plan(operation, False, True)]
    for media in operation.media:
        if made[0].media is not None and media is not made[0].media:
            one = planner.plan(operation, True, True, media)
            one.name = media.content_type
            made.append(one)
    return made


def one(entry: dict[str, str], sample: int) -> dict[str, Any]:
    begun = time.monotonic()
    result: dict[str, Any] = {"name": entry["name"], "operations": 0, "judged": 0, "right": 0, "requests": 0, "wrong": [], "unjudged": [], "faults": []}
    document = Document(load(Path(entry["spec"])))
    package = Package(Path(entry["folder"]))
    operations = list(document.operations())
    result["operations"] = len(operations)
    # What became of every operation, sampled or not.
    tools = {operation.key: package.tool(operation) for operation in operations}
    for operation in operations:
        tool = tools[operation.key]
        if tool is None:
            result["wrong"].append(f"{operation.key}: it became no tool")
        elif operation.base != package.base(tool):
            result["wrong"].append(f"{operation.key}: its base URL is {package.base(tool)} instead of {operation.base}")
    place = entry["name"].replace("/", "-")
    environment, given = package.credentials(WARM.folder)
    environment["API_BASE_URL"] = MOCK.base(place)
    running = WARM.start(entry["folder"], environment)
    try:
        running.client.hello()
        listed, size = running.client.tools()
        result["list_bytes"] = size
        names = [tool["name"] for tool in listed]
        wanted = [tool["name"] for tool in package.content["tools"]] if package.content["mode"] == "direct" else ["search_operations", "describe_operation", "call_operation"]
        if names[: len(wanted)] != wanted:
            result["faults"].append(f"it lists {names[:5]} instead of {wanted[:5]}")
        if size > LIST_BYTES:
            result["faults"].append(f"tools/list has {size} bytes")
        planner = Planner(document, Checker(document))
        for operation in sampled(operations, sample, entry["name"]):
            tool = tools[operation.key]
            if tool is None:
                result["judged"] += 1
                continue
            try:
                calls = plans(planner, operation)
            except Impossible as error:
                result["unjudged"].append(f"{operation.key}: {error}")
                continue
            result["judged"] += 1
            problems = []
            for plan in calls:
                MOCK.take(place)
                is_error, text = running.client.call(*package.call(tool, plan))
                received = MOCK.take(place)
                result["requests"] += 1
                if len(received) != 1:
                    problems.append(f"{operation.key} ({plan.name}): {len(received)} requests arrived; {text[:500]}")
                    continue
                try:
                    judge(document, operation, plan, received[0], given, f"/{place}")
                    if is_error:
                        raise Wrong(f"the tool says {text[:300]}")
                except Wrong as wrong:
                    problems.append(f"{operation.key} ({plan.name}): {wrong}")
            result["wrong"] += problems
            result["right"] += not problems
    except Closed as closed:
        result["faults"].append(f"{closed}; {running.said()}")
    finally:
        running.stop()
    result["seconds"] = round(time.monotonic() - begun, 2)
    return result


def guarded(arguments: tuple[dict[str, str], int]) -> dict[str, Any]:
    try:
        return one(*arguments)
    except Exception as error:  # noqa: BLE001 - told with its description, which counts as failed
        import traceback

        return {"name": arguments[0]["name"], "operations": 0, "judged": 0, "right": 0, "requests": 0, "wrong": [], "unjudged": [], "faults": [f"{error!r} {traceback.format_exc()[-600:]}"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("list")
    parser.add_argument("result")
    parser.add_argument("python")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    entries = json.loads(Path(options.list).read_text(encoding="utf-8"))
    # The large ones first, so that no worker is left with one at the end.
    entries.sort(key=lambda entry: -Path(entry["spec"]).stat().st_size)
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(options.jobs, ready, (options.python, options.cold, folder)) as pool:
        make_certificate(options.python, folder)
        results = pool.map(guarded, [(entry, options.sample) for entry in entries], chunksize=1)
    results.sort(key=lambda result: result["name"])
    Path(options.result).write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    for result in results:
        print(f"{result['name']}: {result['right']} of {result['judged']} right, {result['requests']} requests, {len(result['unjudged'])} not judged, {result.get('seconds')} s")


main()
