"""Three tools in front of many: search, describe, call."""

from __future__ import annotations

import math
import re
from typing import Any

WORD = re.compile(r"[A-Za-z0-9]+")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words(text: str) -> list[str]:
    return [stem(word.lower()) for word in WORD.findall(CAMEL.sub(" ", text))]


def stem(word: str) -> str:
    for ending in ("ies", "es", "s"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


class Index:
    """BM25 over names, tags, descriptions and arguments."""

    def __init__(self, tools: list[dict[str, Any]]) -> None:
        self.tools = tools
        self.documents: list[dict[str, float]] = []
        self.frequency: dict[str, int] = {}
        for tool in tools:
            counts: dict[str, float] = {}
            kind = tool["kind"]
            arguments = " ".join(tool["input_schema"].get("properties", {}))
            for weight, text in (
                (4.0, tool["name"]), (3.0, tool["title"]), (2.0, " ".join(tool.get("tags", []))),
                (1.0, tool["description"]), (1.5, kind.get("path", "") + " " + kind.get("table", "")), (0.5, arguments),
            ):
                for word in words(text):
                    counts[word] = counts.get(word, 0.0) + weight
            self.documents.append(counts)
            for word in counts:
                self.frequency[word] = self.frequency.get(word, 0) + 1
        lengths = [sum(counts.values()) for counts in self.documents]
        self.lengths = lengths
        self.average = (sum(lengths) / len(lengths)) if lengths else 1.0

    def search(self, query: str, limit: int) -> list[dict[str, Any]]:
        wanted = set(words(query))
        total = len(self.documents)
        scored = []
        for index, counts in enumerate(self.documents):
            score = 0.0
            for word in wanted:
                count = counts.get(word)
                if count:
                    rarity = math.log(1 + (total - self.frequency[word] + 0.5) / (self.frequency[word] + 0.5))
                    length = 0.25 + 0.75 * self.lengths[index] / self.average
                    score += rarity * count * 2.2 / (count + 1.2 * length)
            if score > 0 or not wanted:
                scored.append((-score, index))
        scored.sort()
        return [self.tools[index] for _, index in scored[:limit]]
