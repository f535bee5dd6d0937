"""Errors as the author of the code wants to see them: their own lines, and nothing of ours."""

import os
import sys
import traceback

TEXT_BYTES = 20_000
CHAIN_LINKS = 8


def describe(error, file_name, folder):
    """The parts of an error: type, message, line in the code, traceback text."""
    try:
        told = traceback.TracebackException.from_exception(error, compact=True)
        line = _last_line(error, file_name)
        _keep_user_frames(told, file_name, folder, CHAIN_LINKS)
        text = "".join(told.format(chain=True))
    except Exception as second:
        # str() of a user's exception may itself fail in any way.
        line = None
        text = f"{type(error).__name__} (cannot be shown: {type(second).__name__})\n"
    try:
        message = str(error)
    except Exception:
        message = ""
    name = type(error).__name__
    return {"type": name, "message": _shortened(message, 4000), "line": line,
            "traceback": _shortened(text, TEXT_BYTES)}


def _shortened(text, limit):
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters omitted]\n{text[-half:]}"


def _is_user(file, file_name, folder):
    return file == file_name or file.startswith(folder + os.sep)


def _keep_user_frames(told, file_name, folder, links):
    if told is None or links == 0:
        return
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if _is_user(frame.filename, file_name, folder)])
    if links == 1:
        told.__cause__ = told.__context__ = None
    for linked in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        _keep_user_frames(linked, file_name, folder, links - 1)


def _last_line(error, file_name):
    if isinstance(error, SyntaxError) and error.filename == file_name:
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == file_name:
            line = step.tb_lineno
        step = step.tb_next
    return line


def hint(error, file_name):
    """What helps with a mistake that is made often; None when there is nothing to say."""
    if isinstance(error, ModuleNotFoundError):
        packages = installed()
        found = ", ".join(packages) if packages else "none"
        return f"installed packages besides the standard library: {found}"
    if isinstance(error, EOFError):
        return "there is nobody to answer input(); pass values in function_args or function_kwargs"
    if isinstance(error, PermissionError) and error.errno == 1 and _mentions_network(error):
        return "the sandbox has no network; call a tool with _call_mcp_tool instead"
    if isinstance(error, RuntimeError) and "asyncio.run() cannot be called" in str(error):
        return "this code awaits at the top level already; write `await main()` instead of asyncio.run(main())"
    return None


def _mentions_network(error):
    step = error.__traceback__
    while step is not None:
        if os.path.basename(step.tb_frame.f_code.co_filename) in ("socket.py", "selectors.py", "client.py"):
            return True
        step = step.tb_next
    return False


def installed(limit=60):
    """Names of the distributions that can be imported."""
    names = set()
    for folder in sys.path:
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        for entry in entries:
            stem, _, ending = entry.rpartition(".")
            if ending in ("dist-info", "egg-info"):
                names.add(stem.split("-")[0].replace("_", "-").lower())
    names -= {"pip", "setuptools", "wheel", ""}
    return sorted(names)[:limit]
