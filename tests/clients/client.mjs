// A client of the official TypeScript SDKs against Atelier.
//
// client.mjs MODULES ERA SCENARIO (--http URL | --stdio COMMAND ARGUMENT...)
//
// MODULES is the folder of installed packages. ERA is `legacy`, by the SDK of the first generation,
// or `2026-07-28`, by that of the second. SCENARIO is `tools`: a model is configured that answers
// slowly, and never when a request says `stall`; `host`: no model is configured, the client writes;
// `sampling`: no model is configured, the client has one. Prints `ok` when all was as it should be.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, era, scenario, channel, ...target] = process.argv.slice(2);
const load = (name) =>
  import(pathToFileURL(createRequire(join(modules, "x.js")).resolve(name)).href);

const isModern = era !== "legacy";
const { Client, StreamableHTTPClientTransport, StdioClientTransport, samplingHandler } = isModern
  ? { ...(await load("@modelcontextprotocol/client")), ...(await load("@modelcontextprotocol/client/stdio")), samplingHandler: "sampling/createMessage" }
  : {
      ...(await load("@modelcontextprotocol/sdk/client/index.js")),
      ...(await load("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      ...(await load("@modelcontextprotocol/sdk/client/stdio.js")),
      samplingHandler: (await load("@modelcontextprotocol/sdk/types.js")).CreateMessageRequestSchema,
    };

const page =
  "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Tea</title></head>" +
  "<body><h1>Tea timer</h1></body></html>";

const sampled = [];
const client = new Client(
  { name: "typescript-test", version: "1" },
  {
    capabilities: scenario === "sampling" ? { sampling: {} } : {},
    ...(isModern ? { versionNegotiation: { mode: { pin: era } } } : {}),
  },
);
if (scenario === "sampling") {
  client.setRequestHandler(samplingHandler, async (request) => {
    sampled.push(JSON.stringify(request.params.messages));
    return {
      role: "assistant",
      model: "client-model",
      stopReason: "endTurn",
      content: { type: "text", text: page },
    };
  });
}
const transport =
  channel === "--http"
    ? new StreamableHTTPClientTransport(new URL(target[0]))
    : new StdioClientTransport({ command: target[0], args: target.slice(1), env: { ...process.env } });
await client.connect(transport);

// The first generation takes the result's schema as its second argument.
const call = (name, args, options) =>
  isModern
    ? client.callTool({ name, arguments: args }, options)
    : client.callTool({ name, arguments: args }, undefined, options);

// The structured result, which must be the JSON of the first text too.
const structured = (result) => {
  assert.ok(!result.isError, JSON.stringify(result));
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  return result.structuredContent;
};

const scenarios = {
  async tools() {
    const server = client.getServerVersion();
    assert.equal(server.name, "atelier");
    assert.equal(server.title, "Atelier");
    assert.match(client.getInstructions(), /submit_completion/);
    const { tools } = await client.listTools();
    for (const name of ["create_web_app", "list_web_apps", "get_job", "submit_completion"]) {
      const tool = tools.find((tool) => tool.name === name);
      assert.ok(tool?.title && tool.description && tool.outputSchema, name);
      for (const hint of ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"]) {
        assert.equal(typeof tool.annotations[hint], "boolean", `${hint} of ${name}`);
      }
    }
    const { prompts } = await client.listPrompts();
    assert.ok(prompts.some((prompt) => prompt.name === "make_web_app"));

    assert.deepEqual(structured(await call("list_web_apps", {})).web_apps, []);
    const failed = await call("get_job", { job_id: "none" });
    assert.equal(failed.isError, true);
    assert.equal(failed.structuredContent, undefined);
    assert.equal(JSON.parse(failed.content[0].text).code, "job_not_found");
    await assert.rejects(call("no_such_tool", {}), (error) => error.code === -32602);

    const seen = [];
    const onprogress = (progress) => seen.push(progress.progress);
    const made = structured(await call("create_web_app", { user_request: "a timer" }, { onprogress }));
    assert.equal(made.status, "success");
    assert.ok(seen.length >= 2, `progress: ${seen}`);
    assert.ok(seen.every((value, at) => at === 0 || value > seen[at - 1]), `progress: ${seen}`);
    const apps = structured(await call("list_web_apps", {})).web_apps;
    assert.deepEqual(apps.map((app) => app.app_name), [made.app_name]);

    const stop = new AbortController();
    const stalled = call(
      "create_web_app",
      { user_request: "stall" },
      // From 10 on the model is writing.
      { signal: stop.signal, onprogress: ({ progress }) => progress > 10 && stop.abort("enough") },
    );
    await assert.rejects(stalled);
    assert.equal(structured(await call("list_web_apps", {})).web_apps.length, 1);
  },

  async host() {
    const asked = structured(await call("create_web_app", { user_request: "a timer" }));
    assert.equal(asked.status, "needs_completion");
    assert.match(asked.prompt.user, /a timer/);
    assert.equal(asked.respond_with, "submit_completion");
    const made = structured(await call("submit_completion", { handle: asked.handle, text: page }));
    assert.equal(made.status, "success");
    assert.equal(made.model_used, null);
  },

  async sampling() {
    const made = structured(await call("create_web_app", { user_request: "a timer" }));
    assert.equal(made.status, "success");
    assert.equal(sampled.length, 1);
    assert.match(sampled[0], /a timer/);
  },
};

const limit = setTimeout(() => {
  console.error("it took too long");
  process.exit(1);
}, 300_000);
await scenarios[scenario]();
await client.close();
clearTimeout(limit);
console.log("ok");
