"""Packages of ours: their servers, and how calls are put to them."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from client import Client
from judge import NOTHING, Plan
from standard import Operation
from values import File

HERE = Path(__file__).resolve().parent
PATH = "/usr/local/bin:/usr/bin:/bin"
# A certificate of a client, with the library that the servers bring along.
CERTIFICATE = """
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
start = datetime.datetime(2026, 1, 1)
made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
made = made.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36500)).sign(key, hashes.SHA256())
plain = serialization.NoEncryption()
open(sys.argv[1] + "/key.pem", "wb").write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
open(sys.argv[1] + "/certificate.pem", "wb").write(made.public_bytes(serialization.Encoding.PEM))
"""


def make_certificate(python: str, folder: str) -> None:
    subprocess.run([python, "-c", CERTIFICATE, folder], check=True)


class Warm:
    """Starts servers quickly; `cold` starts each as a user would."""

    def __init__(self, python: str, cold: bool, folder: str) -> None:
        self.python, self.cold, self.folder = python, cold, folder
        self.parent = None if cold else subprocess.Popen([python, str(HERE / "warm.py")], stdin=subprocess.PIPE, text=True)
        self.count = 0

    def start(self, folder: str, environment: dict[str, str]) -> "Running":
        self.count += 1
        log = f"{self.folder}/{os.getpid()}-{self.count}.log"
        if self.cold:
            child = subprocess.Popen(
                [self.python, "server.py"], cwd=folder, env={"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1", **environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(log, "wb"),
            )
            return Running(Client(child.stdout, child.stdin), log, child, None)  # type: ignore[arg-type]
        address = f"{self.folder}/{os.getpid()}-{self.count}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(1)
        listener.settimeout(60)
        order = {"folder": folder, "socket": address, "log": log, "environment": {"PATH": PATH, **environment}}
        assert self.parent is not None and self.parent.stdin is not None
        self.parent.stdin.write(json.dumps(order) + "\n")
        self.parent.stdin.flush()
        link, _ = listener.accept()
        listener.close()
        os.unlink(address)
        return Running(Client(link.makefile("rb"), link.makefile("wb")), log, None, link)

    def close(self) -> None:
        if self.parent is not None and self.parent.stdin is not None:
            self.parent.stdin.close()
            self.parent.wait(30)


class Running:
    def __init__(self, client: Client, log: str, child: Any, link: Any) -> None:
        self.client, self.log, self.child, self.link = client, log, child, link

    def said(self) -> str:
        return Path(self.log).read_text(encoding="utf-8", errors="replace")[-600:] if os.path.exists(self.log) else ""

    def stop(self) -> None:
        self.client.write.close()
        self.client.read.close()
        if self.link is not None:
            self.link.close()
        if self.child is not None:
            self.child.wait(30)


class Package:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content = json.loads((folder / "operations.json").read_text(encoding="utf-8"))
        self.tools: dict[str, list[dict[str, Any]]] = {}
        for tool in self.content["tools"]:
            self.tools.setdefault(f"{tool['kind']['method']} {tool['kind']['path']}", []).append(tool)

    def tool(self, operation: Operation) -> dict[str, Any] | None:
        """The tools of paths that differ in their fragment alone come in the document's order."""
        found = self.tools.get(f"{operation.method} {operation.path.split('#')[0]}")
        if not found:
            return None
        return found.pop(0) if len(found) > 1 else found[0]

    def base(self, tool: dict[str, Any]) -> str | None:
        servers = tool["kind"].get("servers") or self.content["servers"]
        if not servers:
            return None
        url = servers[0]["url"]
        for name, variable in servers[0].get("variables", {}).items():
            url = url.replace("{" + name + "}", variable["default"])
        return url.rstrip("/") if url.startswith(("http://", "https://")) else None

    def credentials(self, certificates: str = "") -> tuple[dict[str, str], dict[str, Any]]:
        """Environment, and what each scheme was given."""
        environment: dict[str, str] = {}
        given: dict[str, Any] = {}
        for number, (name, scheme) in enumerate(self.content["schemes"].items()):
            kind = scheme["type"]
            if kind in ("oauth2", "open_id_connect"):
                given[name] = f"token-{number}"
                environment[(scheme.get("oauth2") or scheme)["access_token"]] = given[name]
            elif kind == "basic":
                given[name] = (f"user-{number}", f"pass:{number}")
                environment[scheme["username"]], environment[scheme["password"]] = given[name]
            elif kind in ("api_key", "bearer"):
                given[name] = f"key-{number}"
                environment[scheme["variable"]] = given[name]
            else:
                given[name] = None
                environment[scheme["certificate"]] = f"{certificates}/certificate.pem"
                environment[scheme["key"]] = f"{certificates}/key.pem"
        return environment, given

    def call(self, tool: dict[str, Any], plan: Plan) -> tuple[str, dict[str, Any]]:
        kind = tool["kind"]
        arguments: dict[str, Any] = {}
        names = {(one["location"], one["wire_name"]): one["argument"] for one in kind.get("parameters", [])}
        for key, value in plan.values.items():
            # What became no argument cannot be sent; the judge will miss it.
            if key in names:
                arguments[names[key]] = value
        body = kind.get("body")
        if body and plan.body is not NOTHING:
            arguments[body["argument"]] = written(plan.body)
            if body.get("content_type_argument") and plan.media:
                arguments[body["content_type_argument"]] = plan.media.content_type
        if self.content["mode"] == "search":
            return "call_operation", {"name": tool["name"], "arguments": arguments}
        return tool["name"], arguments


def written(value: Any) -> Any:
    if isinstance(value, File):
        return {"filename": value.name, "content_type": value.kind, "content_base64": base64.b64encode(value.content).decode()}
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    return [written(item) for item in value] if isinstance(value, list) else value
