"""Credentials from environment variables, for exactly the requests that want them."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import httpx2

from . import serialize
from .errors import ToolFailure, distrusted

# Tokens are renewed that long before they end.
SKEW_SECONDS = 60.0
CONSENT_SECONDS = 300.0


class Credentials:
    def __init__(self, package: dict[str, Any], environment: Mapping[str, str], client: httpx2.AsyncClient) -> None:
        self.schemes = package["schemes"]
        self.environment = environment
        self.client = client
        self.tokens: dict[str, OAuth2Tokens] = {}
        for name, scheme in self.schemes.items():
            if scheme["type"] == "oauth2":
                self.tokens[name] = OAuth2Tokens(name, scheme, None, environment, client)
            elif scheme["type"] == "open_id_connect":
                self.tokens[name] = OAuth2Tokens(name, scheme["oauth2"], scheme["url"], environment, client)

    def missing(self, name: str) -> list[str]:
        """Variables without which a scheme cannot be used."""
        scheme = self.schemes[name]
        kind = scheme["type"]
        if kind in ("api_key", "bearer"):
            wanted = [scheme["variable"]]
        elif kind == "basic":
            wanted = [scheme["username"], scheme["password"]]
        elif kind == "mutual_tls":
            wanted = [scheme["certificate"]]
        else:
            return self.tokens[name].missing()
        return [variable for variable in wanted if not self.environment.get(variable)]

    def choose(self, operation: dict[str, Any]) -> dict[str, list[str]]:
        """The first way in whose variables are all set; an empty one counts when no other does."""
        requirements = [entry["schemes"] for entry in operation.get("security", [])]
        if not requirements:
            return {}
        gaps = []
        for requirement in requirements:
            if not requirement:
                continue
            missing = [variable for name in requirement for variable in self.missing(name)]
            if not missing:
                return requirement
            gaps.append(" and ".join(missing))
        if any(not requirement for requirement in requirements):
            return {}
        raise ToolFailure(
            "this call needs credentials: set the environment variable " + ", or ".join(gaps),
            {"missing": gaps},
        )

    async def of(self, operation: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str], list[str]]:
        # Servers refuse two headers of one name: of several schemes that want it the last one counts.
        headers: dict[str, tuple[str, str]] = {}
        query: list[str] = []
        cookies: list[str] = []
        for name, scopes in self.choose(operation).items():
            scheme = self.schemes[name]
            kind = scheme["type"]
            if kind == "api_key":
                value = self.environment[scheme["variable"]]
                if scheme["location"] == "header":
                    headers[scheme["wire_name"].lower()] = (scheme["wire_name"], value)
                elif scheme["location"] == "query":
                    query.append(f"{serialize.escape(scheme['wire_name'])}={serialize.escape(value)}")
                else:
                    cookies.append(f"{serialize.escape(scheme['wire_name'])}={serialize.escape(value)}")
            elif kind == "basic":
                pair = f"{self.environment[scheme['username']]}:{self.environment[scheme['password']]}"
                headers["authorization"] = ("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
            elif kind == "bearer":
                headers["authorization"] = ("Authorization", f"{scheme['prefix']} {self.environment[scheme['variable']]}")
            elif kind in ("oauth2", "open_id_connect"):
                headers["authorization"] = ("Authorization", "Bearer " + await self.tokens[name].token(scopes))
        return list(headers.values()), query, cookies

    async def renew(self, operation: dict[str, Any]) -> bool:
        """After a refusal: forgets the token and says whether a new one can be had."""
        renewed = False
        for name in self.choose(operation):
            if name in self.tokens:
                renewed = self.tokens[name].forget() or renewed
        return renewed


class OAuth2Tokens:
    """The tokens of one scheme; only one task at a time asks for new ones."""

    def __init__(
        self, name: str, scheme: dict[str, Any], discovery: str | None, environment: Mapping[str, str], client: httpx2.AsyncClient
    ) -> None:
        self.name = name
        self.scheme = scheme
        self.discovery = discovery
        self.environment = environment
        self.client = client
        self.lock = anyio.Lock()
        self.state: dict[str, Any] = {}
        self.loaded = False
        self.endpoints: dict[str, str] = {}

    def given(self) -> str | None:
        return self.environment.get(self.scheme["access_token"])

    def missing(self) -> list[str]:
        if self.given():
            return []
        grant = self.scheme["grant"]
        if grant == "given":
            return [self.scheme["access_token"]]
        wanted = [self.scheme["client_id"]]
        if grant == "client_credentials":
            wanted.append(self.scheme["client_secret"])
        if grant == "password":
            wanted += [self.scheme["username"], self.scheme["password"]]
        return [variable for variable in wanted if not self.environment.get(variable)]

    def forget(self) -> bool:
        if self.given():
            return False
        self.load()
        had = bool(self.state.get("access_token"))
        self.state.pop("access_token", None)
        return had

    async def token(self, scopes: list[str]) -> str:
        given = self.given()
        if given:
            return given
        async with self.lock:
            self.load()
            fresh = self.state.get("access_token")
            if fresh and self.state.get("expires_at", 0) - SKEW_SECONDS > time.time():
                return fresh
            await self.discover()
            if self.state.get("refresh_token"):
                try:
                    await self.request({"grant_type": "refresh_token", "refresh_token": self.state["refresh_token"]}, self.endpoints.get("refresh"))
                    return self.state["access_token"]
                except ToolFailure:
                    self.state.pop("refresh_token", None)
            await self.first(scopes)
            return self.state["access_token"]

    async def discover(self) -> None:
        if self.endpoints:
            return
        self.endpoints = {
            "token": self.environment.get("OAUTH2_TOKEN_URL") or self.scheme["token_url"],
            "authorization": self.environment.get("OAUTH2_AUTHORIZATION_URL") or self.scheme.get("authorization_url") or "",
            "refresh": self.scheme.get("refresh_url") or "",
        }
        if self.discovery and not self.endpoints["token"]:
            try:
                response = await self.client.get(self.discovery, headers={"Accept": "application/json"})
                document = response.json()
                self.endpoints["token"] = document["token_endpoint"]
                self.endpoints["authorization"] = document.get("authorization_endpoint", "")
            except (httpx2.HTTPError, ValueError, KeyError, TypeError):
                self.endpoints = {}
                raise ToolFailure(f"the OpenID document of `{self.name}` cannot be read") from None

    async def first(self, scopes: list[str]) -> None:
        grant = self.scheme["grant"]
        wanted = " ".join(scopes or self.scheme["scopes"])
        scope = {"scope": wanted} if wanted else {}
        if grant == "client_credentials":
            await self.request({"grant_type": "client_credentials", **scope})
        elif grant == "password":
            await self.request({
                "grant_type": "password",
                "username": self.environment[self.scheme["username"]],
                "password": self.environment[self.scheme["password"]],
                **scope,
            })
        else:
            raise ToolFailure(
                f"nobody has agreed to `{self.name}` yet: run `python server.py --authorize {self.name}` once, "
                f"or set the environment variable {self.scheme['access_token']}"
            )

    async def request(self, form: dict[str, str], address: str | None = None) -> None:
        client_id = self.environment.get(self.scheme["client_id"], "")
        secret = self.environment.get(self.scheme["client_secret"])
        # Some servers answer in JSON only when they are asked to.
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        form = {**form, "client_id": client_id}
        if secret:
            form["client_secret"] = secret
        try:
            response = await self.client.post(address or self.endpoints["token"], headers=headers, content=urlencode(form).encode())
        except httpx2.HTTPError as error:
            reason = str(error) if isinstance(error, httpx2.ProxyError) else distrusted(error) or type(error).__name__
            raise ToolFailure(f"the token server of `{self.name}` cannot be reached: {reason}") from None
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if not isinstance(answer, dict):
            answer = {}
        if response.status_code != 200 or "access_token" not in answer:
            reason = answer.get("error", f"status {response.status_code}")
            raise ToolFailure(f"the token server of `{self.name}` refuses: {str(reason)[:200]}")
        try:
            lifetime = float(answer.get("expires_in", 3600))
        except (TypeError, ValueError):
            lifetime = 3600.0
        self.state["access_token"] = str(answer["access_token"])
        self.state["expires_at"] = time.time() + lifetime
        if answer.get("refresh_token"):
            self.state["refresh_token"] = str(answer["refresh_token"])
        self.save()

    def file(self) -> Path | None:
        named = self.environment.get(self.scheme["token_file"])
        return Path(named) if named else None

    def load(self) -> None:
        if self.loaded:
            return
        self.loaded = True
        file = self.file()
        if file is not None and file.exists():
            try:
                state = json.loads(file.read_text())
            except (OSError, ValueError):
                return
            if isinstance(state, dict):
                self.state = state

    def save(self) -> None:
        file = self.file()
        if file is None:
            return
        try:
            handle, name = tempfile.mkstemp(dir=file.parent)
            try:
                os.fchmod(handle, 0o600)
                os.write(handle, json.dumps(self.state).encode())
            finally:
                os.close(handle)
            os.replace(name, file)
        except OSError:
            raise ToolFailure(f"the token file of `{self.name}` cannot be written") from None

    async def authorize(self, open_page: Any, port: int = 0) -> None:
        """Lets the user agree in a browser: code, PKCE S256, `state`, an answer on loopback."""
        await self.discover()
        verifier = secrets.token_urlsafe(64)[:96]
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state = secrets.token_urlsafe(24)
        got: dict[str, str] = {}
        done = anyio.Event()

        async def answer(stream: Any) -> None:
            async with stream:
                raw = await stream.receive(8192)
                line = raw.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
                fields = parse_qs(urlsplit(line[1] if len(line) > 1 else "").query)
                first = {key: values[0] for key, values in fields.items()}
                if secrets.compare_digest(first.get("state", ""), state):
                    got.update(first)
                    text = "Done; you can close this page." if "code" in first else "Refused."
                    done.set()
                else:
                    text = "This answer belongs to another request."
                page = html.escape(text).encode()
                await stream.send(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: "
                    + str(len(page)).encode() + b"\r\n\r\n" + page
                )

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
        bound = listener.extra(anyio.abc.SocketAttribute.local_port)
        redirect = f"http://127.0.0.1:{bound}/callback"
        parameters = {
            "response_type": "code",
            "client_id": self.environment.get(self.scheme["client_id"], ""),
            "redirect_uri": redirect,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if self.scheme["scopes"]:
            parameters["scope"] = " ".join(self.scheme["scopes"])
        address = self.endpoints["authorization"]
        address += ("&" if "?" in address else "?") + urlencode(parameters)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            await open_page(address)
            with anyio.move_on_after(CONSENT_SECONDS):
                await done.wait()
            group.cancel_scope.cancel()
        await listener.aclose()
        if "code" not in got:
            raise ToolFailure(f"nobody agreed: {got.get('error', 'no answer came')}")
        await self.request({
            "grant_type": "authorization_code",
            "code": got["code"],
            "redirect_uri": redirect,
            "code_verifier": verifier,
        })


async def print_page(address: str) -> None:
    print(f"Open this address in a browser:\n{address}", file=sys.stderr)
