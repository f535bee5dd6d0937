"""An API that takes every request as it comes, byte by byte, and answers the same to all."""

from __future__ import annotations

import socketserver
import threading
from collections import defaultdict

from judge import Request

ANSWER = b'{"received":true}'


class Mock:
    def __init__(self) -> None:
        self.received: dict[str, list[Request]] = defaultdict(list)
        mock = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while True:
                    line = self.rfile.readline()
                    if not line.strip():
                        return
                    method, target, _ = line.decode("latin-1").split(" ", 2)
                    headers = []
                    while (line := self.rfile.readline()).strip():
                        name, _, value = line.decode("latin-1").partition(":")
                        headers.append((name, value.strip(" \t\r\n")))
                    known = {name.lower(): value for name, value in headers}
                    if known.get("expect"):
                        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    if known.get("transfer-encoding", "").lower() == "chunked":
                        body = b""
                        while size := int(self.rfile.readline().split(b";")[0], 16):
                            body += self.rfile.read(size)
                            self.rfile.readline()
                        self.rfile.readline()
                    else:
                        body = self.rfile.read(int(known.get("content-length") or 0))
                    place = target.split("/")[1]
                    mock.received[place].append(Request(method, target, headers, body))
                    content = b"" if method == "HEAD" else ANSWER
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
                    self.wfile.write(head.encode() + content)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def base(self, place: str) -> str:
        return f"http://127.0.0.1:{self.port}/{place}"

    def take(self, place: str) -> list[Request]:
        return self.received.pop(place, [])
