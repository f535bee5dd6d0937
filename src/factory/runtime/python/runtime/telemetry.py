"""One JSON line per call on standard error, counters for Prometheus, and a limit on calls."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from threading import Lock
from typing import Any

from .errors import ToolFailure

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Log:
    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def write(self, event: str, **fields: Any) -> None:
        """Names, outcomes and times; never arguments, answers or credentials."""
        if self.enabled:
            line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **fields}
            print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)


class Metrics:
    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.lock = Lock()
        self.calls: dict[tuple[str, str], int] = {}
        self.buckets: dict[str, list[int]] = {}
        self.sums: dict[str, float] = {}
        self.retries = 0

    def record(self, tool: str, outcome: str, seconds: float) -> None:
        if not self.enabled:
            return
        with self.lock:
            self.calls[(tool, outcome)] = self.calls.get((tool, outcome), 0) + 1
            counts = self.buckets.setdefault(tool, [0] * (len(BUCKETS) + 1))
            for index, bound in enumerate((*BUCKETS, float("inf"))):
                if seconds <= bound:
                    counts[index] += 1
            self.sums[tool] = self.sums.get(tool, 0.0) + seconds

    def text(self) -> str:
        lines = ["# TYPE mcp_tool_calls_total counter"]
        with self.lock:
            for (tool, outcome), count in sorted(self.calls.items()):
                lines.append(f'mcp_tool_calls_total{{tool="{tool}",outcome="{outcome}"}} {count}')
            lines.append("# TYPE mcp_tool_call_seconds histogram")
            for tool, counts in sorted(self.buckets.items()):
                for bound, count in zip((*BUCKETS, "+Inf"), counts):
                    lines.append(f'mcp_tool_call_seconds_bucket{{tool="{tool}",le="{bound}"}} {count}')
                lines.append(f'mcp_tool_call_seconds_sum{{tool="{tool}"}} {self.sums[tool]:.6f}')
                lines.append(f'mcp_tool_call_seconds_count{{tool="{tool}"}} {counts[-1]}')
            lines.append("# TYPE mcp_http_retries_total counter")
            lines.append(f"mcp_http_retries_total {self.retries}")
        return "\n".join(lines) + "\n"


class RateLimit:
    """At most so many calls in any window of time."""

    def __init__(self, enabled: bool, calls: int, seconds: float) -> None:
        self.enabled, self.calls, self.seconds = enabled, calls, seconds
        self.times: deque[float] = deque()

    def take(self) -> None:
        if not self.enabled:
            return
        now = time.monotonic()
        while self.times and self.times[0] <= now - self.seconds:
            self.times.popleft()
        if len(self.times) >= self.calls:
            wait = self.times[0] + self.seconds - now
            raise ToolFailure(
                f"the limit of {self.calls} calls in {self.seconds:g} seconds is reached; try again in {wait:.0f} seconds",
                {"retry_after_seconds": round(wait, 1)},
            )
        self.times.append(now)
