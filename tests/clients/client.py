"""A client of the official Python SDK against Atelier.

client.py ERA SCENARIO (--http URL | --stdio COMMAND ARGUMENT...)

ERA is `legacy` (initialize) or `2026-07-28`. SCENARIO is `tools`: a model is configured that answers
slowly, and never when a request says `stall`; `host`: no model is configured, the client writes;
`sampling`: no model is configured, the client has one. Prints `ok` when everything was as it should be.
"""

import asyncio
import json
import os
import sys

import mcp
from mcp import Client, MCPError, StdioServerParameters

PAGE = (
    "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Tea</title></head>"
    "<body><h1>Tea timer</h1></body></html>"
)


def expect(condition, what):
    if not condition:
        sys.exit(f"not as expected: {what}")


def structured(result):
    """The structured result, which must be the JSON of the first text too."""
    expect(not result.is_error, result)
    expect(json.loads(result.content[0].text) == result.structured_content, result)
    return result.structured_content


async def tools(client, era):
    expect(client.server_info.name == "atelier", client.server_info)
    expect(client.server_info.title == "Atelier", client.server_info)
    expect("submit_completion" in client.instructions, client.instructions)
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    for name in ["create_web_app", "list_web_apps", "get_job", "submit_completion"]:
        tool = listed[name]
        expect(tool.title and tool.description and tool.output_schema, tool)
        hints = tool.annotations
        expect(None not in (hints.read_only_hint, hints.destructive_hint), tool)
        expect(None not in (hints.idempotent_hint, hints.open_world_hint), tool)
    expect("make_web_app" in [prompt.name for prompt in (await client.list_prompts()).prompts], "prompts")
    prompt = await client.get_prompt("make_web_app", {"request": "a tea timer"})
    expect("a tea timer" in prompt.messages[0].content.text, prompt)

    expect(structured(await client.call_tool("list_web_apps", {}))["web_apps"] == [], "an app")
    failed = await client.call_tool("get_job", {"job_id": "none"})
    error = json.loads(failed.content[0].text)
    expect(failed.is_error and failed.structured_content is None, failed)
    expect(error["code"] == "job_not_found" and error["hint"], error)
    try:
        await client.call_tool("no_such_tool", {})
        expect(False, "an unknown tool was called")
    except MCPError as error:
        expect(error.error.code == -32602, error)

    seen = []

    async def progress(value, total, message):
        seen.append(value)

    made = structured(
        await client.call_tool("create_web_app", {"user_request": "a timer"}, progress_callback=progress)
    )
    expect(made["status"] == "success" and made["version"] == 1, made)
    expect(len(seen) >= 2 and seen == sorted(set(seen)), seen)
    apps = structured(await client.call_tool("list_web_apps", {}))["web_apps"]
    expect([app["app_name"] for app in apps] == [made["app_name"]], apps)

    begun = asyncio.Event()

    async def started(value, total, message):
        # From 10 on the model is writing.
        if value > 10:
            begun.set()

    stalled = asyncio.create_task(
        client.call_tool("create_web_app", {"user_request": "stall"}, progress_callback=started)
    )
    await begun.wait()
    stalled.cancel()
    try:
        await stalled
        expect(False, "a stalled call ended")
    except asyncio.CancelledError:
        pass
    again = structured(await client.call_tool("list_web_apps", {}))["web_apps"]
    expect(len(again) == 1, again)


async def host(client, era):
    asked = structured(await client.call_tool("create_web_app", {"user_request": "a timer"}))
    expect(asked["status"] == "needs_completion", asked)
    expect("a timer" in asked["prompt"]["user"] and asked["prompt"]["system"], asked)
    expect(asked["respond_with"] == "submit_completion", asked)
    made = structured(
        await client.call_tool("submit_completion", {"handle": asked["handle"], "text": PAGE})
    )
    expect(made["status"] == "success" and made["model_used"] is None, made)


async def sampling(client, era):
    made = structured(await client.call_tool("create_web_app", {"user_request": "a timer"}))
    expect(made["status"] == "success", made)
    expect(len(SAMPLED) == 1 and "a timer" in SAMPLED[0], SAMPLED)


SAMPLED = []


async def sample(context, params):
    content = params.messages[0].content
    blocks = content if isinstance(content, list) else [content]
    SAMPLED.append("".join(block.text for block in blocks))
    return mcp.CreateMessageResult(
        role="assistant",
        content={"type": "text", "text": PAGE},
        model="client-model",
        stop_reason="endTurn",
    )


async def main():
    era, scenario, channel, *target = sys.argv[1:]
    if channel == "--http":
        server = target[0]
    else:
        server = StdioServerParameters(command=target[0], args=target[1:], env=dict(os.environ))
    options = {"sampling_callback": sample} if scenario == "sampling" else {}
    mode = era if era == "legacy" else "auto"
    async with Client(server, mode=mode, read_timeout_seconds=60, **options) as client:
        if era != "legacy":
            expect(client.protocol_version == era, client.protocol_version)
        await {"tools": tools, "host": host, "sampling": sampling}[scenario](client, era)
    print("ok")


asyncio.run(asyncio.wait_for(main(), 300))
