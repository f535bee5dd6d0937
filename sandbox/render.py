"""Values of the code as JSON: exact where JSON can say it, otherwise shown and said to be so."""

import json
import math

EXACT_INTEGER = 1 << 53
DEPTH = 64
NODES = 200_000
LEAF_CHARACTERS = 2_000
REPR_CHARACTERS = 20_000
ARRAY_ITEMS = 10_000
TABLE_ROWS = 50


class _Render:
    def __init__(self):
        self.nodes = 0
        self.shown = 0
        self.open = set()
        self.notes = []

    def value(self, value, depth=0):
        self.nodes += 1
        if self.nodes > NODES:
            raise OverflowError(f"more than {NODES} parts")
        if depth > DEPTH:
            raise OverflowError(f"nested deeper than {DEPTH} levels")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            text = str.__str__(value)
            if text.isascii() or _is_unicode(text):
                return text
            self.shown += 1
            return text.encode("utf-8", "replace").decode()
        if isinstance(value, int):
            return int(value) if -EXACT_INTEGER <= value <= EXACT_INTEGER else self.show(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self.show(value)
        if isinstance(value, dict):
            return self.dictionary(value, depth)
        if isinstance(value, (list, tuple)):
            return self.inside(value, lambda: [self.value(item, depth + 1) for item in value])
        return self.other(value, depth)

    def inside(self, value, build):
        if id(value) in self.open:
            raise OverflowError("it contains itself")
        self.open.add(id(value))
        try:
            return build()
        finally:
            self.open.discard(id(value))

    def dictionary(self, value, depth):
        def build():
            built = {}
            for key, item in dict.items(value):
                if isinstance(key, str):
                    name = self.value(key, depth + 1)
                elif key is None or isinstance(key, (bool, int, float)):
                    name = json.dumps(key)
                else:
                    name = self.show(key)
                if name in built:
                    raise OverflowError(f"two keys would both become {name!r:.60}")
                built[name] = self.value(item, depth + 1)
            return built

        return self.inside(value, build)

    def other(self, value, depth):
        module = (type(value).__module__ or "").partition(".")[0]
        if module == "numpy":
            if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
                item = value.item()
                if type(item) is not type(value):
                    return self.value(item, depth + 1)
            elif hasattr(value, "tolist") and value.size <= ARRAY_ITEMS:
                return self.value(value.tolist(), depth + 1)
        if module == "pandas":
            table = self.table(value, depth)
            if table is not None:
                return table
        if isinstance(value, (set, frozenset)):
            self.shown += 1
            return self.inside(value, lambda: [self.value(item, depth + 1) for item in value])
        return self.show(value)

    def table(self, value, depth):
        kind = type(value).__name__
        if kind not in ("DataFrame", "Series"):
            return None
        rows = len(value)
        if rows > TABLE_ROWS:
            self.notes.append(f"the first {TABLE_ROWS} of {rows} rows of a {kind}")
        head = value.head(TABLE_ROWS)
        if kind == "Series":
            return json.loads(head.to_json(orient="values", date_format="iso"))
        table = json.loads(head.to_json(orient="split", date_format="iso"))
        return {"columns": table["columns"], "index": table["index"], "rows": table["data"],
                "shape": [int(size) for size in value.shape]}

    def show(self, value):
        self.shown += 1
        return shown(value, LEAF_CHARACTERS)


def _is_unicode(text):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value, limit):
    """`repr`, whatever it does, cut to a length."""
    try:
        text = repr(value)
        if not isinstance(text, str):
            raise TypeError("repr gave no text")
    except RecursionError:
        text = f"<{type(value).__name__}: nested too deeply to show>"
    except Exception as error:
        text = f"<{type(value).__name__} cannot be shown: {type(error).__name__}>"
    text = text.encode("utf-8", "replace").decode()
    if len(text) > limit:
        text = f"{text[:limit]}... [{len(text) - limit} characters omitted]"
    return text


def render(value, limit):
    """`{value, type, exact, note}`; the value's JSON is at most `limit` bytes."""
    if value is None:
        return {"value": None, "type": "NoneType", "exact": True, "note": None}
    kind = type(value)
    name = kind.__name__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__name__}"
    state = _Render()
    notes = state.notes
    try:
        plain = state.value(value)
        size = len(json.dumps(plain))
        if size > limit:
            notes.append(f"{size} bytes of JSON, at most {limit}: its beginning is shown")
            plain = shown(value, min(REPR_CHARACTERS, limit))
            state.shown += 1
        elif state.shown and isinstance(plain, str) and not isinstance(value, str):
            plain = shown(value, REPR_CHARACTERS)
            notes.append(f"{name} is not JSON: shown as text")
        elif state.shown:
            notes.append(f"{state.shown} parts are not JSON: shown as text")
    except Exception as error:
        plain = shown(value, min(REPR_CHARACTERS, limit))
        notes.append(f"not JSON ({error}): shown as text")
        state.shown += 1
    return {"value": plain, "type": name, "exact": not state.shown and not notes, "note": "; ".join(notes) or None}
