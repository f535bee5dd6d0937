"""The least of an MCP client: lines of JSON-RPC, one request at a time."""

from __future__ import annotations

import json
from typing import Any, BinaryIO


class Closed(Exception):
    """The server ended."""


class Client:
    def __init__(self, read: BinaryIO, write: BinaryIO) -> None:
        self.read, self.write, self.count = read, write, 0

    def hello(self) -> None:
        self.request("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "judge", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message: Any) -> None:
        self.write.write(json.dumps(message).encode() + b"\n")
        self.write.flush()

    def exchange(self, method: str, params: Any) -> tuple[dict[str, Any], int]:
        """The answer, and how many bytes its line has."""
        self.count += 1
        self.send({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params})
        while True:
            line = self.read.readline()
            if not line:
                raise Closed(f"the server ended at {method}")
            if not line.lstrip().startswith(b"{"):
                continue  # Some write their log to standard output.
            message = json.loads(line)
            if message.get("id") == self.count and "method" not in message:
                return message, len(line)

    def request(self, method: str, params: Any) -> Any:
        message, _ = self.exchange(method, params)
        if "error" in message:
            raise Closed(f"{method}: {message['error']}")
        return message["result"]

    def tools(self) -> tuple[list[dict[str, Any]], int]:
        """All pages; the bytes of the answers."""
        tools, size, cursor = [], 0, None
        while True:
            message, length = self.exchange("tools/list", {"cursor": cursor} if cursor else {})
            if "error" in message:
                raise Closed(f"tools/list: {message['error']}")
            size += length
            tools += message["result"]["tools"]
            cursor = message["result"].get("nextCursor")
            if not cursor:
                return tools, size

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[bool, str]:
        """Whether it was an error, and its text."""
        message, _ = self.exchange("tools/call", {"name": name, "arguments": arguments})
        if "error" in message:
            return True, str(message["error"].get("message"))
        result = message["result"]
        return bool(result.get("isError")), " ".join(str(block.get("text", ""))[:400] for block in result.get("content", []))
