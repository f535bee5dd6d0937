"""Starts servers of packages as processes of their own, each with its own streams, from a process
that has read the libraries already: what takes a second each time is done once.

A line on standard input names the folder, a Unix socket to speak through and the environment.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys

import anyio  # noqa: F401
import httpx2  # noqa: F401
import jsonschema  # noqa: F401
import mcp.server.lowlevel  # noqa: F401
import mcp.server.stdio  # noqa: F401
import mcp_types  # noqa: F401


def serve(order: dict[str, object]) -> None:
    link = socket.socket(socket.AF_UNIX)
    link.connect(str(order["socket"]))
    os.dup2(link.fileno(), 0)
    os.dup2(link.fileno(), 1)
    link.close()
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 2)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    folder = str(order["folder"])
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[arg-type]
    sys.path[0] = folder
    sys.argv = ["server.py"]
    sys.dont_write_bytecode = True
    runpy.run_path(f"{folder}/server.py", run_name="__main__")


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                serve(json.loads(line))
            except SystemExit:
                pass
            finally:
                os._exit(0)


main()
