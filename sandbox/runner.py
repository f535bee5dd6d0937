"""One run: takes the code from the channel, executes it like a notebook cell, sends one result.

From the server: any number of `input` frames (each followed by one frame of raw bytes), then `run` or
`inspect`. To the server: `call`, `ai`, `tools`, `image`, and last of all `result`.
"""

import _random
import ast
import asyncio
import functools
import gc
import inspect
import linecache
import os
import random
import resource
import sys
import types

import atelier_bridge as bridge
import atelier_figures as figures
import atelier_inspection as inspection
import atelier_render as render
import atelier_tracebacks as tracebacks

FILE_NAME = "code.py"
STUB_MODULE = "atelier_tools"
VALUE_NAME = "__atelier_value__"
PLACE = ("lineno", "col_offset", "end_lineno", "end_col_offset")
FUNCTION_NAME = "generated_function_name"
# A waiting worker whose run has not come by then rehearses.
IDLE_MILLISECONDS = 5
REHEARSAL = {
    "kind": "run", "args": [], "kwargs": {}, "stubs": None, "value_bytes": 1 << 20,
    "code": "import json\ntext = f'{1 + 1}'\nprint(end='')\njson.dumps({'sum': [text, 2.5]})",
}
PRACTICE_CALL = {
    **REHEARSAL,
    "code": "async def generated_function_name(a, b):\n"
            "    return await _call_mcp_tool('practice', {'a': [a, None], 'b': {'c': b}})",
    "args": [1], "kwargs": {"b": "text"},
}
PRACTICE_REPLY = {"id": 1, "ok": True, "value": {"items": [1, "two", 2.5, None]}}


def prepare_streams():
    """Line by line, so that output streams; never an error for a character that UTF-8 lacks."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


class Runner:
    """What every run needs and nothing of the code decides. Made in the zygote; a fork of it serves.

    What a fork does for the first time costs it pages: CPython notes on the way which methods it has
    found where, and rewrites code that is called often. So the zygote practises before it forks.
    """

    def __init__(self, connected):
        self.channel = channel = bridge.Channel(connected)
        self.bridge = bridge.Bridge(channel)
        self.figures = figures.Figures(lambda name: channel.send({"kind": "image", "name": name}))
        self.figures.attach()
        self.stubs = _StubFinder(self.bridge)
        sys.meta_path.append(self.stubs)
        self.folder = None
        sys.argv = [FILE_NAME]
        # All workers of a zygote begin with the same memory, and so with the same generators. The
        # inner half of `random.seed` is all that there is to do without an argument.
        self.seeds = [functools.partial(_random.Random.seed, random._inst)]
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            self.seeds.append(numpy.random.seed)

    def enter(self, folder):
        """Names the run folder, which has to be the working folder when a run begins."""
        self.folder = folder
        sys.path.insert(0, folder)

    def practise(self, rounds, server):
        """Goes the way of a run often; `server` is the other end of the channel's socket."""
        main, folder = sys.modules["__main__"], self.folder
        self.folder = os.getcwd()
        for _ in range(rounds):
            self._practise_one(server, REHEARSAL)
            self._practise_one(server, PRACTICE_CALL, PRACTICE_REPLY)
            asyncio.get_event_loop().close()
            for seed in self.seeds:
                seed()
        asyncio.set_event_loop(None)
        if sys.version_info < (3, 14):
            # Only a fresh one makes a loop for code that asks for the current one.
            asyncio.set_event_loop_policy(None)
        linecache.cache.clear()
        sys.modules["__main__"], self.folder = main, folder

    def _practise_one(self, server, wanted, reply=None):
        server.sendall(bridge.pack(wanted))
        frame = self.channel.read_frame()
        if reply is not None:
            server.sendall(bridge.pack(reply))
        result = Run(self, frame).execute()
        if not result["ok"]:
            raise RuntimeError(f"the runner does not work: {result['error']}")
        self.channel.send({"kind": "result", **result})
        sys.stdout.flush()
        sys.stderr.flush()
        # What the run asked and what it said.
        server.recv(bridge.FRAME_BYTES)
        self.channel.forget()
        self.bridge.forget()

    def serve(self, idle):
        """Waits for the one run of this worker, and runs it. Never returns."""
        channel = self.channel
        gc.enable()
        for seed in self.seeds:
            seed()
        if idle and not channel.has_input(IDLE_MILLISECONDS):
            self._rehearse()
        try:
            while True:
                frame = channel.read_frame()
                if frame["kind"] != "input":
                    break
                _write_input(channel, frame)
        except (EOFError, ConnectionError):
            os._exit(0)  # the server ended or recycles this worker
        if frame["kind"] == "inspect":
            result = inspection.inspect_code(frame["code"], frame["tools"])
        else:
            _limit_processor(frame["cpu_seconds"])
            result = Run(self, frame).execute()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception:
            pass  # the code closed or replaced its streams
        try:
            channel.send({"kind": "result", **result}, frame["result_bytes"])
        except (ValueError, TypeError, RecursionError) as error:
            channel.send({"kind": "result", "ok": False, "error": _plain_error(
                "ResultError", f"the result cannot be sent: {error}")})
        # Ending at once spares the server a turn; as pid 1 this process takes all others of the run
        # along.
        os._exit(0)

    def _rehearse(self):
        """Goes the way of a run once while there is none, since memory is slow when first touched.

        A fork shares its pages until it writes to them; what a run writes to is copied here, before
        anybody waits for it.
        """
        frame = bridge.decoded(bridge.pack(REHEARSAL)[4:])
        bridge.pack({"kind": "result", **Run(self, frame).execute()})
        sys.stdout.write("")
        sys.stdout.flush()
        sys.stderr.flush()
        linecache.cache.clear()


def _limit_processor(seconds):
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or seconds < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))


def _write_input(channel, frame):
    data = channel.read_body()
    if len(data) != frame["size"]:
        raise ValueError("an input of another size than announced")
    folder = os.path.dirname(frame["name"])
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(frame["name"], "xb") as file:
        file.write(data)


def _plain_error(kind, message, hint=None):
    return {"type": kind, "message": message, "line": None, "traceback": "", "hint": hint}


class _Problem(Exception):
    """An error of the call rather than of the code; it has no traceback worth showing."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Run:
    def __init__(self, runner, frame):
        self.frame = frame
        self.bridge = runner.bridge
        self.figures = runner.figures
        self.stubs = runner.stubs
        self.folder = runner.folder
        self.called = False
        self.function_value = None
        self.value = None
        self.notes = []

    def execute(self):
        self.stubs.source = self.frame["stubs"]
        try:
            code = self._compile()
            module = self._module()
            if code.co_flags & inspect.CO_COROUTINE:
                _run_in_loop(self._run_awaiting(code, module))
            else:
                self._run_plain(code, module)
        except SystemExit as error:
            return self._left(error)
        except _Problem as problem:
            return self._result({"ok": False, "error": _plain_error(problem.kind, str(problem))})
        except BaseException as error:
            return self._failed(error)
        self.figures.finish(self.value)
        return self._result({"ok": True})

    def _compile(self):
        source = self.frame["code"].lstrip("\ufeff")
        linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(True), FILE_NAME)
        tree = compile(source, FILE_NAME, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                       dont_inherit=True)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr) and not _ends_in_semicolon(source, last):
            place = {name: getattr(last, name) for name in PLACE}
            target = ast.Name(id=VALUE_NAME, ctx=ast.Store(), **place)
            tree.body[-1] = ast.Assign(targets=[target], value=last.value, **place)
        return compile(tree, FILE_NAME, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)

    def _module(self):
        module = types.ModuleType("__main__")
        module.__dict__.update(self.bridge.namespace())
        module.__file__ = FILE_NAME
        sys.modules["__main__"] = module
        return module

    def _run_plain(self, code, module):
        exec(code, module.__dict__)
        self.value = module.__dict__.pop(VALUE_NAME, None)
        function = self._function(module)
        if function is not None:
            outcome = self._call(function)
            if inspect.isawaitable(outcome):
                outcome = _run_in_loop(_awaited(outcome))
            self.function_value = outcome

    async def _run_awaiting(self, code, module):
        await eval(code, module.__dict__)
        self.value = module.__dict__.pop(VALUE_NAME, None)
        function = self._function(module)
        if function is not None:
            outcome = self._call(function)
            if inspect.isawaitable(outcome):
                outcome = await outcome
            self.function_value = outcome

    def _function(self, module):
        """The callable that the code defines for the caller, or None."""
        named = module.__dict__.get(FUNCTION_NAME)
        if named is None:
            if self.frame["args"] or self.frame["kwargs"]:
                self.notes.append(
                    f"the code defines no `{FUNCTION_NAME}`, so function_args and function_kwargs were unused")
            return None
        if isinstance(named, str):
            function = module.__dict__.get(named)
            if function is None:
                raise _Problem("NameError", f"`{FUNCTION_NAME}` is {named!r:.80}, which the code does not define")
        else:
            function = named
        if not callable(function):
            kind = type(function).__name__
            raise _Problem("TypeError", f"`{FUNCTION_NAME}` leads to a value of type {kind}, which cannot be called")
        return function

    def _call(self, function):
        arguments, named = self.frame["args"], self.frame["kwargs"]
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            signature = None  # built-in functions may have none
        if signature is not None:
            try:
                signature.bind(*arguments, **named)
            except TypeError as error:
                name = getattr(function, "__name__", FUNCTION_NAME)
                raise _Problem("TypeError", f"{name}{signature} does not take these arguments: {error}") from None
        self.called = True
        return function(*arguments, **named)

    def _left(self, error):
        self.figures.finish(None)
        if error.code in (None, 0, False):
            return self._result({"ok": True})
        shown = error.code if isinstance(error.code, (int, str)) else render.shown(error.code, 500)
        line = tracebacks._last_line(error, FILE_NAME)
        told = _plain_error("SystemExit", f"the code ended with sys.exit({shown!r})")
        return self._result({"ok": False, "error": {**told, "line": line}})

    def _failed(self, error):
        told = tracebacks.describe(error, FILE_NAME, self.folder)
        told["hint"] = tracebacks.hint(error, FILE_NAME)
        del error
        self.figures.finish(None)
        return self._result({"ok": False, "error": told})

    def _result(self, result):
        limit = self.frame["value_bytes"]
        if self.value is not None and inspect.iscoroutine(self.value):
            self.notes.append("the last expression is a coroutine that was not awaited; put `await` before it")
        lines = self.bridge.forgotten()
        if lines:
            where = ", ".join(str(line) for line in lines[:10])
            self.notes.append(f"a call was made without `await` and never ran: line {where}")
        self.notes += self.figures.notes
        result["value"] = render.render(self.value, limit)
        result["function_called"] = self.called
        result["function_value"] = render.render(self.function_value, limit)
        result["notes"] = self.notes[:20]
        return result


async def _awaited(outcome):
    return await outcome


def _run_in_loop(coroutine):
    """Runs it on a loop of its own, which stays the current one: what is left over dies with us."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(coroutine)


def _ends_in_semicolon(source, node):
    lines = source.splitlines()
    try:
        rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :]
    except (IndexError, UnicodeEncodeError):
        return False
    return rest.strip().startswith(b";")


class _StubFinder:
    """Serves the typed stubs of the tools as one module, compiled only when it is imported."""

    source = None

    def __init__(self, bridged):
        self._bridge = bridged

    def find_spec(self, name, path=None, target=None):
        if name != STUB_MODULE or not self.source:
            return None
        import importlib.machinery

        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__dict__.update(self._bridge.namespace())
        exec(compile(self.source, STUB_MODULE + ".py", "exec", dont_inherit=True), module.__dict__)
