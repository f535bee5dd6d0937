"""The channel to the server, and the functions that code calls across it.

A frame is a length (u32, little-endian) and that many bytes of JSON. Calls carry an id; replies come
in any order, to whichever event loop or thread waits for them. Nothing here is a boundary: code may
read, forge or destroy all of it, and only harms its own run. The server checks every frame.
"""

import array
import json
import select
import socket
import struct
import sys
import threading

# `asyncio` can do without `ssl`, which is large and of no use where there is no network.
if "ssl" not in sys.modules:
    sys.modules["ssl"] = None
    import asyncio

    del sys.modules["ssl"]
import asyncio

FRAME_BYTES = 1 << 20
INPUT_BYTES = 8 << 20
INTEGER_LIMIT = 1 << 63

CHUNK_BYTES = 1 << 16

_LENGTH = struct.Struct("<I")
# Of the zygote, so that a fork has it already. There is one channel in a process, and whoever holds
# its lock reads.
_chunk = memoryview(bytearray(CHUNK_BYTES))


def _made_encoder():
    """An encoder whose inner half is made once: making it takes longer than writing a call with it.

    It does not look for circles: arguments are checked for their depth before.
    """
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        write = json.encoder.c_make_encoder(
            None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
        if "".join(write({"a": [1, "é", None]}, 0)) == '{"a":[1,"é",null]}':
            return lambda value: "".join(write(value, 0))
    except Exception:
        pass  # another Python's library
    return encoder.encode


_encode = _made_encoder()
_decode = json.JSONDecoder().scan_once


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


def decoded(body):
    """What JSON says; without the detours of `json.loads`, each of which costs a fork its pages."""
    value, _ = _decode(str(body, "utf-8"), 0)
    return value


class _Later:
    """Where a reply to a coroutine goes that waits in its loop."""

    def __init__(self, loop):
        self.future = loop.create_future()
        self._loop = loop

    def __call__(self, reply):
        if asyncio._get_running_loop() is self._loop:
            self._settle(reply)
            return
        try:
            self._loop.call_soon_threadsafe(self._settle, reply)
        except RuntimeError:
            pass  # that loop is closed, and nobody waits any more

    def _settle(self, reply):
        if not self.future.done():
            self.future.set_result(reply)


class _Blocking:
    """Where a reply goes that a thread waits for."""

    def __init__(self):
        self.event = threading.Event()
        self.reply = None

    def __call__(self, reply):
        self.reply = reply
        self.event.set()


class Channel:
    """Frames over one socket, for any number of threads and event loops."""

    def __init__(self, connected):
        self._socket = connected
        self._buffer = bytearray()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._waiting = {}  # id -> what is called with the reply
        self._watched = {}  # id of a loop -> the loop
        self._polls = {}  # descriptor of a loop's selector -> a poll of it and the socket
        self._next = 0

    def forget(self):
        """As it was when it was made."""
        self._buffer.clear()
        self._waiting.clear()
        self._watched.clear()
        self._polls.clear()
        self._next = 0

    # Before the code runs.

    def greet(self, frame, handles):
        """The first frame, with the descriptors that the server keeps beside it."""
        rights = []
        if handles:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", handles))]
        self._socket.sendmsg([frame], rights)

    def has_input(self, milliseconds):
        """Whether something comes within that time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(milliseconds))

    def read_frame(self):
        return decoded(self.read_body())

    def read_body(self):
        buffer = self._buffer
        while True:
            if len(buffer) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer)
                if length > INPUT_BYTES:
                    raise ValueError(f"a frame of {length} bytes, at most {INPUT_BYTES}")
                end = _LENGTH.size + length
                if len(buffer) >= end:
                    body = bytes(buffer[_LENGTH.size : end])
                    del buffer[:end]
                    return body
            count = self._socket.recv_into(_chunk)
            if not count:
                raise EOFError
            buffer += _chunk[:count]

    # While it runs.

    def send(self, message, limit=FRAME_BYTES):
        data = pack(message)
        if len(data) > limit:
            raise ValueError(f"{len(data)} bytes, at most {limit}")
        with self._write_lock:
            self._socket.sendall(data)

    def _send_numbered(self, message, waiter):
        """Sends a message under an id of its own; what came back is given to `waiter`."""
        with self._write_lock:
            self._next += 1
            number = message["id"] = self._next
            data = pack(message)
            if len(data) > FRAME_BYTES:
                raise ValueError(f"{len(data)} bytes, at most {FRAME_BYTES}")
            self._waiting[number] = waiter
            self._socket.sendall(data)
        return number

    def ask_now(self, message):
        """Asks from any thread and blocks it until the answer is there."""
        waiter = _Blocking()
        self._send_numbered(message, waiter)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not waiter.event.is_set():
            # Another thread may read our answer, so the wait on the socket is short.
            if self._read_lock.acquire(blocking=False):
                try:
                    if not waiter.event.is_set() and poll.poll(50):
                        self._take_all()
                finally:
                    self._read_lock.release()
            else:
                waiter.event.wait(0.05)
        return waiter.reply

    async def ask(self, message):
        """Asks from a coroutine."""
        loop = asyncio.get_running_loop()
        poll = None if self._waiting else self._poll_of(loop)
        # Whoever holds the lock reads for all, so nobody takes the answer from a wait in place.
        if poll is not None and self._read_lock.acquire(blocking=False):
            number = None
            try:
                came = []
                number = self._send_numbered(message, came.append)
                self._wait_alone(loop, poll, came)
                if came:
                    return came[0]
                later = self._waiting[number] = _Later(loop)
            except BaseException:
                self._waiting.pop(number, None)
                raise
            finally:
                self._read_lock.release()
        else:
            later = _Later(loop)
            number = self._send_numbered(message, later)
        try:
            self._watch(loop)
            return await later.future
        finally:
            self._waiting.pop(number, None)

    def _poll_of(self, loop):
        """A poll of our socket and of everything that this loop waits for, when it has nothing to do.

        None: it has something to do, or is a loop of another kind.
        """
        try:
            if loop._ready:
                return None
            loop._scheduled  # noqa: B018
            events = loop._selector.fileno()
        except (AttributeError, ValueError):
            return None
        poll = self._polls.get(events)
        if poll is None:
            poll = self._polls[events] = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.register(events, select.POLLIN)
        return poll

    def _wait_alone(self, loop, poll, came):
        """Waits in place while this loop has nothing else to do, which saves its machinery.

        Everything that the loop waits for ends this wait: its selector is polled along with our
        socket, and its next timer bounds it.
        """
        own = self._socket.fileno()
        while True:
            wait = None
            if loop._scheduled:
                wait = max(0, (loop._scheduled[0]._when - loop.time()) * 1000)
            found = poll.poll(wait)
            if not any(descriptor == own for descriptor, _ in found):
                return
            self._take_all()
            if came or loop._ready:
                return

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
        chunk, buffer = _chunk, self._buffer
        while True:
            try:
                count = self._socket.recv_into(chunk, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            if not count:
                closed = {"ok": False, "code": "cancelled", "message": "the server went away"}
                for number in list(self._waiting):
                    self._deliver(number, closed)
                return False
            if not buffer and count > _LENGTH.size:
                (length,) = _LENGTH.unpack_from(chunk)
                if count == _LENGTH.size + length:  # most are one small reply
                    self._hand_out(str(chunk[_LENGTH.size : count], "utf-8"))
                    return True
            buffer += chunk[:count]
            while len(buffer) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer)
                end = _LENGTH.size + length
                if len(buffer) < end:
                    break
                text = buffer[_LENGTH.size : end].decode("utf-8")
                del buffer[:end]
                self._hand_out(text)
            if count < CHUNK_BYTES:
                return True

    def _hand_out(self, text):
        reply, _ = _decode(text, 0)
        self._deliver(reply.get("id"), reply)

    def _deliver(self, number, reply):
        waiter = self._waiting.pop(number, None)
        if waiter is not None:  # else its call was cancelled
            waiter(reply)


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

    def forget(self):
        """As it was when it was made."""
        self._never_awaited.clear()
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
        return sorted(set(self._never_awaited.values())) if self._never_awaited else []

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
