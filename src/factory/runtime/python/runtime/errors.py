"""What a caller can be told."""

from __future__ import annotations

import ssl
from typing import Any


class ToolFailure(Exception):
    """A failure that the caller reads: what went wrong, for which input, and what to do."""

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}


def distrusted(error: BaseException | None) -> str | None:
    """What is wrong with a certificate, when that is why there is no connection."""
    for _ in range(8):
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message.rstrip(".")
        if error is None:
            return None
        error = error.__cause__ or error.__context__
    return None
