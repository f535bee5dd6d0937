"""What a caller can be told."""

from __future__ import annotations

from typing import Any


class ToolFailure(Exception):
    """A failure that the caller reads: what went wrong, for which input, and what to do."""

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}
