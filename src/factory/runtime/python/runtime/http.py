"""Requests to the API: base URL, credentials, retries, and answers as one envelope."""

from __future__ import annotations

import base64
import json
import random
import uuid
from email.utils import parsedate_to_datetime
from datetime import datetime, timezone
from typing import Any, Mapping

import anyio
import httpx2

from . import serialize, settings
from .auth import Credentials
from .errors import ToolFailure, distrusted

# What one answer may bring into a conversation.
MAX_ANSWER_BYTES = 10 * 1024 * 1024
ERROR_EXCERPT = 4000
IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
TRANSIENT = {429, 502, 503, 504}
LONGEST_PAUSE = 30.0
# How the proxy around a sandboxed server signs its own answers.
GATE = "1.1 atelier-egress"


class HttpBackend:
    def __init__(self, package: dict[str, Any], environment: Mapping[str, str]) -> None:
        self.package = package
        self.environment = environment
        self.features = package["features"]
        self.client: httpx2.AsyncClient | None = None
        self.credentials: Credentials | None = None
        self.retries = 0
        # A wrong setting ends the server before it begins, and says which one it is.
        self.timeout = settings.timeout(environment)
        self.address = settings.base_address(environment)
        self.verify = settings.tls(package, environment)

    async def open(self) -> None:
        self.client = httpx2.AsyncClient(
            timeout=self.timeout,
            follow_redirects=False,
            verify=self.verify,
            trust_env=True,
        )
        self.credentials = Credentials(self.package, self.environment, self.client)

    async def close(self) -> None:
        if self.client is not None:
            await self.client.aclose()

    async def health(self) -> dict[str, Any]:
        try:
            return {"ok": True, "detail": self.base_url({})}
        except ToolFailure as failure:
            return {"ok": False, "detail": failure.message}

    def base_url(self, operation: dict[str, Any]) -> str:
        if self.address:
            return self.address
        servers = operation.get("servers") or self.package["servers"]
        if not servers:
            raise ToolFailure("the base URL of the API is not known: set the environment variable API_BASE_URL")
        url = servers[0]["url"]
        for name, variable in servers[0].get("variables", {}).items():
            value = self.environment.get(variable["environment"], variable["default"])
            allowed = variable.get("enum", [])
            if allowed and value not in allowed:
                raise ToolFailure(f"the environment variable {variable['environment']} must be one of {', '.join(allowed)}")
            url = url.replace("{" + name + "}", value)
        if not url.startswith(("http://", "https://")):
            raise ToolFailure("the base URL of the API is not known: set the environment variable API_BASE_URL")
        return url.rstrip("/")

    async def call(self, tool: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        operation = tool["kind"]
        request = serialize.build(operation, arguments)
        base = self.base_url(operation)
        assert self.credentials is not None
        response = await self.send(operation, request, base)
        return envelope(response)

    async def send(self, operation: dict[str, Any], request: serialize.Request, base: str) -> httpx2.Response:
        assert self.client is not None and self.credentials is not None
        attempts = 1 + (self.features["max_retries"] if self.features["enable_retries"] else 0)
        delay = float(self.features["retry_delay_seconds"])
        refreshed = False
        attempt = 0
        while True:
            attempt += 1
            headers, query, cookies = await self.credentials.of(operation)
            built = wire(operation, request, base, headers, query, cookies)
            last = attempt >= attempts
            try:
                response = await self.read(built)
            except httpx2.ConnectError as error:
                distrust = distrusted(error)
                if distrust is not None:
                    # It would show the same certificate again.
                    raise ToolFailure(f"the certificate of the API at {origin(base)} is not accepted: {distrust}") from None
                # Nothing reached the API: any method may be repeated.
                if last:
                    raise ToolFailure(f"the API at {origin(base)} cannot be reached: {type(error).__name__}") from None
            except httpx2.ProxyError as error:
                # A proxy says why, and would say so again.
                raise ToolFailure(f"the proxy does not let this server reach {origin(base)}: {error}") from None
            except httpx2.TimeoutException:
                if last or request.method not in IDEMPOTENT:
                    raise ToolFailure(f"the API at {origin(base)} did not answer in time") from None
            except httpx2.HTTPError as error:
                if last or request.method not in IDEMPOTENT:
                    raise ToolFailure(f"the request to {origin(base)} failed: {type(error).__name__}") from None
            else:
                if response.status_code == 401 and not refreshed and await self.credentials.renew(operation):
                    refreshed = True
                    attempt -= 1
                    continue
                retry = response.status_code in TRANSIENT and (
                    request.method in IDEMPOTENT or response.status_code == 429
                )
                pause = retry_after(response)
                if not retry or last or (pause or 0) > LONGEST_PAUSE:
                    return response
                self.retries += 1
                await anyio.sleep(pause if pause is not None else backoff(delay, attempt))
                continue
            self.retries += 1
            await anyio.sleep(backoff(delay, attempt))

    async def read(self, request: httpx2.Request) -> httpx2.Response:
        assert self.client is not None
        response = await self.client.send(request, stream=True)
        try:
            chunks = []
            size = 0
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise ToolFailure(f"the answer has more than {MAX_ANSWER_BYTES} bytes; ask for less of it")
                chunks.append(chunk)
        finally:
            await response.aclose()
        body = b"".join(chunks)
        if response.status_code >= 400 and response.headers.get("via") == GATE:
            raise ToolFailure("the proxy does not let this server reach it: " + body[:ERROR_EXCERPT].decode("utf-8", "replace").strip())
        response.extensions["body"] = body
        return response


def origin(base: str) -> str:
    url = httpx2.URL(base)
    return f"{url.scheme}://{url.host}"


def backoff(delay: float, attempt: int) -> float:
    return min(LONGEST_PAUSE, delay * 2 ** (attempt - 1)) * (0.5 + random.random() / 2)


def retry_after(response: httpx2.Response) -> float | None:
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())


def wire(
    operation: dict[str, Any],
    request: serialize.Request,
    base: str,
    headers: list[tuple[str, str]],
    query: list[str],
    cookies: list[str],
) -> httpx2.Request:
    """Puts the parts together. The query is written by us: libraries write spaces and commas otherwise."""
    all_headers = [("User-Agent", "atelier-mcp-server/1"), ("Accept", ", ".join(operation.get("accept", [])) or "*/*")]
    own_cookies = []
    for name, value in [*request.headers, *headers]:
        if name.lower() == "cookie":
            own_cookies.append(value)
        else:
            all_headers.append((name, serialize.checked_header(name, value)))
    if own_cookies or cookies:
        all_headers.append(("Cookie", "; ".join([*own_cookies, *cookies])))
    content = request.body
    if request.parts is not None:
        boundary = uuid.uuid4().hex
        content = serialize.encode_multipart(request.parts, boundary)
        all_headers.append(("Content-Type", f"{request.parts_type}; boundary={boundary}"))
    whole_query = "&".join(part for part in [request.query, *query] if part)
    url = httpx2.URL(base)
    prefix = url.raw_path.split(b"?")[0].rstrip(b"/")
    raw = prefix + request.path.encode() + (b"?" + whole_query.encode() if whole_query else b"")
    target = url.copy_with(raw_path=raw)
    # Given as an extension, the target is sent byte by byte as it was built.
    return httpx2.Request(request.method, target, headers=all_headers, content=content, extensions={"target": raw})


def envelope(response: httpx2.Response) -> dict[str, Any]:
    body: bytes = response.extensions["body"]
    content_type = response.headers.get("content-type", "")
    result: dict[str, Any] = {
        "status": "success",
        "http_status": response.status_code,
        "headers": {
            key: value
            for key, value in response.headers.items()
            if key in ("content-type", "location", "etag", "last-modified", "retry-after", "link")
            or key.startswith(("x-ratelimit", "ratelimit", "x-total", "x-next", "x-page"))
        },
        "data": decoded(body, content_type),
    }
    following = next_page(response, result["data"])
    if following:
        result["next_page"] = following
    if response.status_code >= 400:
        excerpt = body[:ERROR_EXCERPT].decode("utf-8", "replace")
        raise ToolFailure(
            f"the API answered with status {response.status_code} {response.reason_phrase}: {excerpt}".strip(),
            {"http_status": response.status_code, "data": result["data"] if len(body) <= ERROR_EXCERPT else excerpt},
        )
    if 300 <= response.status_code < 400 and response.headers.get("location"):
        result["note"] = "The API points elsewhere; redirects are not followed, so that credentials stay where they belong."
    return result


def decoded(body: bytes, content_type: str) -> Any:
    if not body:
        return None
    essence = content_type.split(";")[0].strip().lower()
    if essence in ("application/json", "text/json") or essence.endswith("+json") or not essence:
        try:
            return json.loads(body)
        except ValueError:
            pass
    textual = essence.startswith("text/") or essence.endswith(("+xml", "xml", "yaml", "javascript", "x-www-form-urlencoded", "json", "graphql"))
    if textual or not essence:
        try:
            return body.decode(charset(content_type))
        except (UnicodeDecodeError, LookupError):
            pass
    return {"content_base64": base64.b64encode(body).decode(), "content_type": essence, "bytes": len(body)}


def charset(content_type: str) -> str:
    for part in content_type.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset":
            return value.strip('"')
    return "utf-8"


def next_page(response: httpx2.Response, data: Any) -> Any:
    for part in response.headers.get("link", "").split(","):
        address, _, rest = part.partition(";")
        if 'rel="next"' in rest or "rel=next" in rest:
            return address.strip().strip("<>")
    if isinstance(data, dict):
        for key in ("next", "next_page", "next_page_token", "nextPageToken", "next_cursor", "nextCursor", "nextLink", "@odata.nextLink"):
            if isinstance(data.get(key), (str, int)) and data[key]:
                return {key: data[key]}
    return None
