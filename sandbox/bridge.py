"""The channel to the server, and the functions that code calls across it.

A frame is a length (u32, little-endian) and that many bytes of JSON. Calls carry an id; replies come
in any order, to whichever event loop or thread waits for them. Nothing here is a boundary: code may
read, forge or destroy all of it, and only harms its own run. The server checks every frame.
"""

import asyncio
import json
import select
import socket
import struct
import sys
import threading
import time

FRAME_BYTES = 1 << 20
INPUT_BYTES = 8 << 20
INTEGER_LIMIT = 1 << 63

_LENGTH = struct.Struct("<I")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class McpToolError(Exception):
    """A tool refused or failed. `code` is stable, `message` is for people."""

    def __init__(self, code, message, details=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details


class ToolList(list):
    """The tools; awaiting it gives it too, since that is easily written by mistake."""

    def __await__(self):
        return self
        yield


def pack(message):
    # A lone surrogate has no UTF-8; it becomes a question mark rather than an unreadable frame.
    body = _encode(message).encode("utf-8", "replace")
    return _LENGTH.pack(len(body)) + body


class Channel:
    """Frames over one socket, for any number of threads and event loops."""

    def __init__(self, descriptor):
        self._socket = socket.socket(fileno=descriptor)
        self._buffer = bytearray()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._waiting = {}  # id -> (loop, future) or (None, [event, reply])
        self._watched = {}  # id of a loop -> the loop
        self._next = 0

    # Before the code runs.

    def read_exactly(self, count):
        while len(self._buffer) < count:
            data = self._socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._buffer += data
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def has_input(self, milliseconds):
        """Whether something comes within that time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(milliseconds))

    def read_frame(self, limit=INPUT_BYTES):
        (length,) = _LENGTH.unpack(self.read_exactly(_LENGTH.size))
        if length > limit:
            raise ValueError(f"a frame of {length} bytes, at most {limit}")
        return json.loads(self.read_exactly(length))

    # While it runs.

    def send(self, message, limit=FRAME_BYTES):
        data = pack(message)
        if len(data) > limit:
            raise ValueError(f"{len(data)} bytes, at most {limit}")
        with self._write_lock:
            self._socket.sendall(data)

    def _register(self, waiter):
        with self._write_lock:
            self._next += 1
            number = self._next
        self._waiting[number] = waiter
        return number

    def ask_now(self, message):
        """Asks from any thread and blocks it until the answer is there."""
        slot = [threading.Event(), None]
        number = self._register((None, slot))
        self.send({**message, "id": number})
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not slot[0].is_set():
            # Another thread may read our answer, so the wait on the socket is short.
            if self._read_lock.acquire(blocking=False):
                try:
                    if not slot[0].is_set() and poll.poll(50):
                        self._take_all()
                finally:
                    self._read_lock.release()
            else:
                slot[0].wait(0.05)
        return slot[1]

    async def ask(self, message):
        """Asks from a coroutine."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        number = self._register((loop, future))
        try:
            self.send({**message, "id": number})
            if not self._wait_alone(loop, future):
                self._watch(loop)
            return await future
        finally:
            self._waiting.pop(number, None)

    def _wait_alone(self, loop, future):
        """Waits in place while this loop has nothing else to do, which saves its machinery.

        Returns whether the answer is there. Everything that the loop waits for ends this wait: its
        selector is polled along with our socket, and its next timer bounds it.
        """
        ready = getattr(loop, "_ready", None)
        scheduled = getattr(loop, "_scheduled", None)
        selector = getattr(loop, "_selector", None)
        if ready is None or scheduled is None or ready or len(self._waiting) != 1:
            return False
        try:
            events = selector.fileno()
        except (AttributeError, ValueError):
            return False
        if not self._read_lock.acquire(blocking=False):
            return False
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.register(events, select.POLLIN)
            own = self._socket.fileno()
            while not future.done():
                wait = None
                if scheduled:
                    wait = max(0, (scheduled[0]._when - loop.time()) * 1000)
                found = poll.poll(wait)
                if not any(descriptor == own for descriptor, _ in found):
                    return False
                self._take_all()
                if ready and not future.done():
                    return False
            return True
        finally:
            self._read_lock.release()

    def _watch(self, loop):
        if self._watched.get(id(loop)) is not loop:
            loop.add_reader(self._socket.fileno(), self._readable, loop)
            self._watched[id(loop)] = loop

    def _readable(self, loop):
        if self._read_lock.acquire(blocking=False):
            try:
                if not self._take_all():
                    loop.remove_reader(self._socket.fileno())
            finally:
                self._read_lock.release()

    def _take_all(self):
        """Reads what is there and hands out every whole reply; false when the channel is closed."""
        try:
            data = self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        if not data:
            for number in list(self._waiting):
                closed = {"ok": False, "code": "cancelled", "message": "the server went away"}
                self._deliver(number, closed)
            return False
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            end = _LENGTH.size + length
            if len(buffer) < end:
                break
            reply = json.loads(bytes(buffer[_LENGTH.size : end]))
            del buffer[:end]
            self._deliver(reply.get("id"), reply)
        return True

    def _deliver(self, number, reply):
        loop, waiter = self._waiting.pop(number, (None, None))
        if waiter is None:
            return  # its call was cancelled
        if loop is None:
            waiter[1] = reply
            waiter[0].set()
        elif asyncio._get_running_loop() is loop:
            _settle(waiter, reply)
        else:
            try:
                loop.call_soon_threadsafe(_settle, waiter, reply)
            except RuntimeError:
                pass  # that loop is closed, and nobody waits any more


def _settle(future, reply):
    if not future.done():
        future.set_result(reply)


def value_of(reply):
    """What a reply says, or the error that it carries."""
    if reply.get("ok"):
        return reply.get("value")
    raise McpToolError(
        reply.get("code") or "failed", reply.get("message") or "no reason was given", reply.get("details"))


def check_arguments(value, depth=0):
    """Refuses what JSON cannot carry, with a message that says where the trouble is."""
    if depth > 64:
        raise McpToolError("invalid_arguments", "the arguments are nested deeper than 64 levels")
    kind = type(value)
    if kind is int:
        if not -INTEGER_LIMIT <= value < 2 * INTEGER_LIMIT:
            raise McpToolError("invalid_arguments", "an integer in the arguments needs more than 64 bits")
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                raise McpToolError(
                    "invalid_arguments", f"argument names are text, and {key!r:.60} is {type(key).__name__}")
            check_arguments(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_arguments(item, depth + 1)


class Bridge:
    """The functions that code finds in its namespace."""

    def __init__(self, channel):
        self._channel = channel
        self._never_awaited = {}
        self._created = 0

    def namespace(self):
        return {
            "_call_mcp_tool": self.call_tool,
            "_call_ai": self.call_ai,
            "_list_tools": self.list_tools,
            "McpToolError": McpToolError,
        }

    def forgotten(self):
        """Lines with a call that was made and never awaited."""
        return sorted(set(self._never_awaited.values()))

    def _noted(self, work):
        self._created += 1
        number = self._created
        self._never_awaited[number] = sys._getframe(2).f_lineno
        return self._run(number, work)

    async def _run(self, number, work):
        self._never_awaited.pop(number, None)
        sys.stdout.flush()
        return value_of(await self._ask(work))

    async def _ask(self, message):
        try:
            return await self._channel.ask(message)
        except (TypeError, ValueError, RecursionError) as error:
            raise McpToolError("invalid_arguments", f"the call cannot be sent: {error}") from None
        except OSError as error:
            raise McpToolError("cancelled", f"the server went away: {error.strerror}") from None

    def call_tool(self, tool_name, arguments=None):
        """Calls a tool of the server; await it. Returns its structured result or raises McpToolError."""
        if not isinstance(tool_name, str):
            raise TypeError(f"tool_name is text, not {type(tool_name).__name__}")
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise TypeError(f"arguments is a dict, not {type(arguments).__name__}")
        check_arguments(arguments)
        return self._noted({"kind": "call", "tool": tool_name, "arguments": arguments})

    def call_ai(self, prompt, json_schema=None, system=None, model=None):
        """Asks a language model; await it. Returns text, or a value that fits `json_schema`."""
        if not isinstance(prompt, str):
            raise TypeError(f"prompt is text, not {type(prompt).__name__}")
        check_arguments([json_schema])
        return self._noted({
            "kind": "ai", "prompt": prompt, "json_schema": json_schema, "system": system, "model": model})

    def list_tools(self):
        """The tools that this code may call: name, description and parameters of each."""
        return ToolList(value_of(self._channel.ask_now({"kind": "tools"})))
