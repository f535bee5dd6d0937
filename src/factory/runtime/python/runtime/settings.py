"""Settings of the operator's, read before anything is served: a wrong one is told by its name."""

from __future__ import annotations

import math
import ssl
from typing import Any, Mapping
from urllib.parse import urlsplit

import httpx2

from .errors import ToolFailure

TIMEOUT_SECONDS = 30.0


def wrong(variable: str, problem: str) -> ToolFailure:
    return ToolFailure(f"the environment variable {variable} {problem}", {"variable": variable})


def timeout(environment: Mapping[str, str]) -> float:
    given = environment.get("API_TIMEOUT_SECONDS")
    if not given:
        return TIMEOUT_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise wrong("API_TIMEOUT_SECONDS", "is no number of seconds above zero")
    return seconds


def base_address(environment: Mapping[str, str]) -> str | None:
    """What is to be called instead of the address of the description."""
    given = environment.get("API_BASE_URL")
    if not given:
        return None
    try:
        url = urlsplit(given)
        # Reading the port refuses one that is none.
        fine = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        httpx2.URL(given)
    except (ValueError, httpx2.InvalidURL):
        fine = False
    if not fine:
        raise wrong("API_BASE_URL", "is no address that begins with http:// or https://")
    return given.rstrip("/")


def tls(package: dict[str, Any], environment: Mapping[str, str]) -> Any:
    """How the API proves itself to us, and with a certificate of a client we to it."""
    for scheme in package["schemes"].values():
        if scheme["type"] == "mutual_tls" and environment.get(scheme["certificate"]):
            return with_certificate(scheme["certificate"], scheme["key"], environment)
    return True


def with_certificate(certificate: str, key: str, environment: Mapping[str, str]) -> ssl.SSLContext:
    text = pem(certificate, environment[certificate])
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise wrong(certificate, f"names {environment[certificate]}, which holds no certificate in PEM form")
    owner = key if environment.get(key) else certificate
    if owner == key:
        text = pem(key, environment[key])
    if "PRIVATE KEY-----" not in text:
        more = "" if owner == key else f", and {key} names no other file"
        raise wrong(owner, f"names {environment[owner]}, which holds no private key in PEM form{more}")
    # OpenSSL would ask the terminal, where nobody answers.
    if "ENCRYPTED" in text:
        raise wrong(owner, f"names {environment[owner]}, whose private key is encrypted: store it without a passphrase")
    context = ssl.create_default_context()
    try:
        context.load_cert_chain(environment[certificate], environment.get(key) or None, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or "it is damaged"
        raise wrong(certificate, f"names a certificate that cannot be used with the key that {owner} names: {reason}") from None
    return context


def pem(variable: str, path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise wrong(variable, f"names {path}, which cannot be read: {reason}") from None
