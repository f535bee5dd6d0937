"""A client of the official Python SDK against a package that was made from a database.

database.py all PYTHON PACKAGE DIALECT URL          calls every kind of tool on the awkward tables
database.py cases PYTHON PACKAGE URL                calls the package's own cases, in order
database.py read-only PYTHON PACKAGE DIALECT URL    nothing may be written, by any way
database.py fails PYTHON PACKAGE URL TEXT           the first call must fail, and say TEXT

Prints `ok N`, N being how many checks held.
"""

import asyncio
import base64
import json
import os
import sqlite3
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

checks = 0


def expect(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"not as expected: {what}")


class Server:
    def __init__(self, client, direct):
        self.client, self.direct = client, direct

    async def call(self, tool, /, **arguments):
        if self.direct or tool in ("search_operations", "describe_operation"):
            return await self.client.call_tool(tool, arguments)
        return await self.client.call_tool("call_operation", {"name": tool, "arguments": arguments})

    async def good(self, tool, /, **arguments):
        result = await self.call(tool, **arguments)
        expect(not result.is_error, (tool, arguments, result.content))
        expect(result.structured_content["status"] == "success", result)
        return result.structured_content

    async def bad(self, tool, text, /, **arguments):
        result = await self.call(tool, **arguments)
        expect(result.is_error, (tool, arguments, result.content))
        told = result.content[0].text
        expect(text.lower() in told.lower(), (tool, arguments, text, told))
        expect("internal error" not in told and "hunter2" not in told, told)
        return json.loads(told)

    async def row(self, tool, wanted=None, /, **arguments):
        row = (await self.good(tool, **arguments))["row"]
        for key, value in (wanted or {}).items():
            # JSON has one kind of number; a text or a truth value is none.
            kinds = {float if type(one) is int else type(one) for one in (row.get(key), value)}
            expect(key in row and row[key] == value and len(kinds) == 1, (tool, arguments, key, row))
        return row


async def start(python, package, url, work):
    parameters = StdioServerParameters(
        command=python, args=[os.path.join(package, "server.py")],
        env={**os.environ, "DATABASE_URL": url}, cwd=package,
    )
    with open(os.path.join(package, "operations.json"), encoding="utf-8") as file:
        operations = json.load(file)
    with open(os.path.join(package, "server.log"), "w", encoding="utf-8") as log:
        async with Client(stdio_client(parameters, errlog=log)) as client:
            await work(Server(client, operations["mode"] == "direct"), operations)
    with open(os.path.join(package, "server.log"), encoding="utf-8") as log:
        expect("hunter2" not in log.read(), "a password in the log")


async def crud(server, postgres):
    """Every table that has a key: make, read, change, remove, and what must be refused."""
    made = await server.row("create_plain", {"name": "a", "note": None}, name="a", note=None)
    expect(isinstance(made["id"], int) and made["made"], made)
    await server.row("get_plain", {"name": "a"}, id=made["id"])
    await server.row("update_plain", {"note": "n", "name": "a"}, id=made["id"], note="n")
    await server.row("update_plain", {"note": None}, id=made["id"], note=None)
    await server.bad("update_plain", "has no row", id=987654, note="n")
    await server.bad("delete_plain", "has no row", id=987654)
    await server.bad("update_plain", "name", id=made["id"], name=None)
    await server.bad("create_plain", "name", note="no name")
    await server.bad("create_plain", "no_such", name="x", no_such=1)
    await server.good("delete_plain", id=made["id"])
    await server.bad("get_plain", "has no row", id=made["id"])

    # Reserved words and names that end statements.
    row = await server.row("create_order", {"select": "s", "from": "here", "limit": 3}, **{"select": "s", "limit": 3})
    await server.row("update_order", {"class": "c", "select": "s"}, id=row["id"], **{"class": "c"})
    found = await server.good("list_order", filters=[{"column": "select", "op": "eq", "value": "s"}],
                              order=[{"column": "from"}, {"column": "limit", "direction": "desc"}])
    expect([one["id"] for one in found["rows"]] == [row["id"]], found)
    await server.good("delete_order", id=row["id"])

    names = {column["name"]: column["argument"] for column in await columns(server, "with spaces")}
    first, last, size, percent = (names[name] for name in ("first name", "last-name", "größe", "100%"))
    await server.row("create_with_spaces", {first: "Zoë", last: "O'X", size: 1.5, percent: 7}, **{first: "Zoë", last: "O'X", size: 1.5, percent: 7})
    await server.row("update_with_spaces", {percent: 8}, **{first: "Zoë", percent: 8})
    found = await server.good("list_with_spaces", filters=[{"column": last, "op": "like", "value": "O'%"}], order=[{"column": percent}])
    expect(len(found["rows"]) == 1, found)
    await server.good("delete_with_spaces", **{first: "Zoë"})

    names = {column["name"]: column["argument"] for column in await columns(server, 'quote"s')}
    tricky = {names[name]: f"'; DROP TABLE plain; -- {name}" for name in ("c'd", "e;f--", "{{g}}", "h?i", "j%sk")}
    key = names['a"b']
    tool = 'quote_s'
    await server.row(f"create_{tool}", tricky, **{key: 1}, **tricky)
    await server.row(f"get_{tool}", tricky, **{key: 1})
    await server.row(f"update_{tool}", {names["j%sk"]: "%s ?"}, **{key: 1, names["j%sk"]: "%s ?"})
    await server.good(f"delete_{tool}", **{key: 1})
    await server.good("list_plain")

    names = {column["name"]: column["argument"] for column in await columns(server, "Naïve Tàble 日本")}
    expect(len(set(names.values())) == 3, names)
    tool = (await tools_of(server, "Naïve Tàble 日本"))["create"]
    await server.row(tool, {names["日"]: "x", names["本"]: "y"}, **{names["日本"]: 1, names["日"]: "x", names["本"]: "y"})

    # Composite keys, tables of nothing but a key, none at all.
    for a, b in ((1, "x"), (2, "x"), (1, "y")):
        await server.row("create_composite", {"a": a, "b": b}, a=a, b=b, c=1)
    await server.row("update_composite", {"c": 9.0}, a=1, b="x", c=9)
    await server.bad("get_composite", "b", a=1)
    await server.bad("delete_composite", "b", a=1)
    await server.good("delete_composite", a=1, b="x")
    found = await server.good("list_composite", total=True)
    expect([(one["b"], one["a"]) for one in found["rows"]] == [("x", 2), ("y", 1)] and found["total"] == 2, found)
    await server.row("create_key_only", {"left_id": 1, "right_id": 2}, left_id=1, right_id=2)
    await server.bad("create_key_only", "UNIQUE", left_id=1, right_id=2)
    await server.good("delete_key_only", left_id=1, right_id=2)
    await server.bad("update_key_only", "update_key_only", left_id=1, right_id=2)
    for _ in range(2):
        await server.row("create_keyless", {"a": 1, "b": None}, a=1)
    await server.bad("get_keyless", "several rows", a=1)
    await server.row("create_keyless", {"a": None, "b": "only"}, b="only")
    await server.row("get_keyless", {"a": None}, b="only")
    await server.row("create_unique_instead", {"code": "c"}, code="c", text="t")
    await server.row("update_unique_instead", {"text": "u"}, code="c", text="u")

    # Defaults, generated columns, constraints: named, and nothing is left behind.
    await server.row("create_defaults", {"a": 42, "b": "it's", "c": "abc", "d": None})
    await server.row("create_defaults", {"a": 1, "c": None}, a=1, c=None)
    await server.row("create_generated", {"area": 6.0}, id=1, w=2, h=3)
    await server.bad("create_generated", "area", id=2, w=2, h=3, area=1)
    await server.row("update_generated", {"area": 8.0}, id=1, w=4, h=2)
    await server.bad("create_checked", "age_is_possible", id=1, age=200)
    await server.bad("create_checked", "both_or_none", id=1, email="e")
    await server.row("create_checked", {"email": "e"}, id=1, email="e", nick="n")
    told = await server.bad("create_checked", "email", id=2, email="e", nick="m")
    expect("constraint" in told, told)
    await server.row("create_checked", {"id": 2}, id=2, email="f", nick="m")
    await server.bad("update_checked", "email", id=2, email="e")
    await server.row("get_checked", {"email": "f"}, id=2)

    # Foreign keys, also in circles and to the same table.
    await server.bad("create_child", "parent", id=1, parent_id=5)
    await server.row("create_parent", {"name": "p"}, id=5, name="p")
    await server.row("create_child", {"other": "p"}, id=1, parent_id=5, other="p")
    await server.bad("delete_parent", "child", id=5)
    await server.bad("update_child", "parent", id=1, parent_id=6)
    await server.row("update_parent", {"name": "q"}, id=5, name="q")
    await server.row("get_child", {"other": "q"}, id=1)
    await server.row("create_cascading", {"parent_id": 1}, id=1, parent_id=1)
    await server.good("delete_child", id=1)
    expect((await server.good("list_cascading"))["rows"] == [], "a row outlived what it points to")
    await server.row("create_cycle_a", {"b_id": None}, id=1)
    await server.row("create_cycle_b", {"a_id": 1}, id=1, a_id=1)
    await server.row("update_cycle_a", {"b_id": 1}, id=1, b_id=1)
    await server.bad("create_cycle_b", "FOREIGN KEY", id=2, a_id=77)
    await server.bad("get_cycle_b", "has no row", id=2)
    await server.row("create_itself", {"boss": 1}, id=1, boss=1, name="top")
    await server.bad("create_itself", "itself", id=2, boss=3)

    # Several rows: all of them, or none.
    many = await server.good("create_many_paged", rows=[{"id": n, "grp": "ab"[n % 2] if n % 7 else None, "n": n // 3} for n in range(1, 121)])
    expect(many["created"] == 120, many["created"])
    await server.bad("create_many_paged", "Row 1", rows=[{"id": 500}, {"id": 1}, {"id": 501}])
    await server.bad("get_paged", "has no row", id=500)
    await server.row("create_paged", {"id": 500}, id=500, grp="z", n=-1)
    await server.good("delete_paged", id=500)
    await server.bad("create_many_paged", "rows", rows=[])

    await server.bad("create_audited", "this word is forbidden", id=1, v="forbidden")
    await server.row("create_audited", {"v": "fine"}, id=1, v="fine")


async def columns(server, table):
    return (await server.good("describe_schema", table=table))["tables"][0]["columns"]


async def tools_of(server, table):
    tools = {}
    for tool in server.operations["tools"]:
        place = tool["kind"].get("place")
        if place is not None and server.operations["database"]["tables"][place]["name"] == table:
            tools[tool["kind"]["operation"]] = tool["name"]
    return tools


async def pages(server):
    """Pages of every order hold each row once, with NULL last."""
    everything = (await server.good("list_paged", limit=500, total=True))
    expect(everything["total"] == 120 and len(everything["rows"]) == 120 and everything["next_cursor"] is None, "all")
    for order in (
        [], [{"column": "grp"}], [{"column": "grp", "direction": "desc"}],
        [{"column": "grp"}, {"column": "n", "direction": "desc"}],
        [{"column": "n", "direction": "desc"}, {"column": "grp", "direction": "desc"}],
        [{"column": "id", "direction": "desc"}],
    ):
        whole = (await server.good("list_paged", order=order, limit=500))["rows"]
        seen, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await server.good("list_paged", order=order, limit=17, columns=["id"], **more)
            seen += [row["id"] for row in page["rows"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        expect(seen == [row["id"] for row in whole] and len(set(seen)) == 120, (order, seen))
        if order and order[0]["column"] == "grp":
            expect(all(row["grp"] is None for row in whole[-17:]), (order, whole[-18:]))
    first = await server.good("list_paged", limit=5)
    await server.bad("list_paged", "cursor", limit=5, cursor=first["next_cursor"], order=[{"column": "n"}])
    await server.bad("list_paged", "cursor", cursor="no cursor")
    await server.bad("list_paged", "cursor", cursor=base64.urlsafe_b64encode(b'{"of":1,"offset":-1}').decode())
    await server.bad("list_paged", "limit", limit=501)

    async def ids(*filters):
        found = await server.good("list_paged", filters=[dict(zip(("column", "op", "value"), one)) for one in filters], limit=500)
        return [row["id"] for row in found["rows"]]

    expect(await ids(("id", "eq", 5)) == [5], "eq")
    expect(await ids(("id", "le", 2)) == [1, 2] and await ids(("id", "gt", 119)) == [120], "le, gt")
    expect(await ids(("id", "lt", 2)) == [1] and await ids(("id", "ge", 120)) == [120], "lt, ge")
    expect(await ids(("id", "in", [3, "4", 999])) == [3, 4] and await ids(("id", "in", [])) == [], "in")
    expect(len(await ids(("grp", "is_null", True))) == 17 and len(await ids(("grp", "is_null", False))) == 103, "is_null")
    expect(len(await ids(("grp", "eq", None))) == 17 and len(await ids(("grp", "ne", "a"))) == 120 - len(await ids(("grp", "eq", "a"))), "ne")
    expect(len(await ids(("grp", "in", ["a", None]))) == len(await ids(("grp", "eq", "a"))) + 17, "in with null")
    expect(len(await ids(("grp", "like", "_"))) == 103 and await ids(("grp", "like", "' OR 1=1 --")) == [], "like")
    expect(await ids(("grp", "eq", "' OR ''='")) == [], "a value is no statement")
    await server.bad("list_paged", "no_such", filters=[{"column": "no_such", "op": "eq", "value": 1}])
    await server.bad("list_paged", "op", filters=[{"column": "id", "op": "; DROP", "value": 1}])
    await server.bad("list_paged", "value", filters=[{"column": "id", "op": "lt"}])

    # Views have no key: pages are counted.
    found = await server.good("list_totals", order=[{"column": "grp"}], limit=2)
    expect([row["grp"] for row in found["rows"]] == ["a", "b"] and found["next_cursor"], found)
    found = await server.good("list_totals", order=[{"column": "grp"}], limit=2, cursor=found["next_cursor"])
    expect([row["grp"] for row in found["rows"]] == [None] and found["next_cursor"] is None, found)
    await server.row("get_totals", {"n": 17}, grp=None)
    await server.good("list_plain_names")


BIG = 9007199254740993


async def sqlite_only(server):
    await server.row("create_null_key", {"k": None, "v": "one"}, k=None, v="one")
    await server.row("update_null_key", {"v": "two"}, k=None, v="two")
    await server.row("create_null_key", {"k": None}, k=None, v="three")
    await server.bad("delete_null_key", "several rows", k=None)
    expect(len((await server.good("list_null_key"))["rows"]) == 2, "one of several rows was removed")
    await server.bad("create_without_rowid", "k", v="AA==")
    await server.row("create_without_rowid", {"v": "AAH/"}, k="k", v="AAH/")
    await server.bad("create_without_rowid", "base64", k="l", v="no base64!")
    await server.bad("create_strict_types", "n", n="12x")
    row = await server.row("create_strict_types", {"n": 5, "a": "text"}, n=5, r=0.5, t="t", b="AA==", a="text")
    await server.row("update_strict_types", {"a": 7}, i=row["i"], a=7)
    await server.row("update_strict_types", {"a": {"base64": "AQI="}}, i=row["i"], a={"base64": "AQI="})
    await server.bad("create_int_key_not_rowid", "id", v="x")
    await server.row("create_int_key_not_rowid", {"id": 3}, id=3, v="x")
    await server.row("create_descending_key", {"id": 3}, id=3, v="x")
    await server.row("create_numbers", {"id": 1, "big": str(BIG), "exact": "12345678.25", "flag": True},
                     id=1, big=str(BIG), exact="12345678.25", approximate=0.1, flag=True)
    await server.row("create_numbers", {"big": str(-(2**63)), "flag": False}, id=2, big=str(-(2**63)), flag=False)
    await server.bad("create_numbers", "64 bits", id=3, big=str(2**63))
    found = await server.good("list_numbers", filters=[{"column": "big", "op": "eq", "value": str(BIG)}])
    expect([row["id"] for row in found["rows"]] == [1], found)
    found = await server.good("list_numbers", order=[{"column": "big"}], limit=1)
    found = await server.good("list_numbers", order=[{"column": "big"}], limit=1, cursor=found["next_cursor"])
    expect([row["id"] for row in found["rows"]] == [1], found)
    await server.row("create_numbers", {"approximate": "Infinity"}, id=4, approximate="Infinity")
    await server.row("create_documents", {"body": {"a": [1, None, "é"]}, "raw": "AAECAw==", "moment": "2026-01-02 03:04:05", "day": "2026-01-02", "whatever": 1.5},
                     id=1, body={"a": [1, None, "é"]}, raw="AAECAw==", moment="2026-01-02 03:04:05", day="2026-01-02", whatever=1.5)
    await server.row("create_documents", {"body": "text", "whatever": "5"}, id=2, body="text", whatever="5")
    await server.row("create_columns_named_like_arguments", {"filters": "f", "order": "o", "rows": "r", "self": "s"},
                     id=1, filters="f", order="o", rows="r", cursor="c", columns="cs", total="t", limit="l", key="k", self="s")
    found = await server.good("list_columns_named_like_arguments", filters=[{"column": "filters", "op": "eq", "value": "f"}], columns=["rows", "limit"])
    expect(found["rows"] == [{"rows": "r", "limit": "l"}], found)
    names = [column["argument"] for column in await columns(server, "Column CASE")]
    expect(len(set(names)) == 4, names)
    tool = (await tools_of(server, "many_columns"))["create"]
    await server.row(tool, {"c30": "x", "c01": 1}, c30="x", c01=1)
    found = await server.good("list_audit")
    expect([row["what"] for row in found["rows"]] == ["made fine"], found)


async def postgres_only(server):
    described = (await server.good("describe_schema", table="public.plain"))["tables"][0]
    expect(described["comment"].startswith("Plain things") and described["columns"][1]["comment"] == "What it is called.", described)
    await server.row("create_MixedCase", {"camelCase": "a", "camelcase": "b"}, Id=1, camelCase="a", camelcase="b")
    await server.row("create_always_identity", {"v": "x"}, v="x")
    await server.bad("create_always_identity", "id", id=5, v="x")
    await server.row("create_numbers", {"id": 1, "big": str(BIG), "exact": "123456789012345678901234.250000", "flag": True, "cash": "$1.50"},
                     id=1, big=str(BIG), exact="123456789012345678901234.25", approximate=0.1, flag=True, cash="1.5")
    await server.row("create_numbers", {"anything": "NaN", "approximate": "NaN", "big": str(-(2**63))}, id=2, anything="NaN", approximate="NaN", big=str(-(2**63)))
    await server.row("create_numbers", {"approximate": "-Infinity"}, id=3, approximate="-Infinity")
    await server.bad("create_numbers", "64 bits", id=4, big=str(2**63))
    await server.bad("create_numbers", "out of range", id=4, small=40000)
    found = await server.good("list_numbers", filters=[{"column": "exact", "op": "gt", "value": "123456789012345678901234"}])
    expect([row["id"] for row in found["rows"]] == [1], found)
    seen, cursor = [], None
    while True:
        page = await server.good("list_numbers", order=[{"column": "approximate"}], limit=1, **({"cursor": cursor} if cursor else {}))
        seen += [row["id"] for row in page["rows"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    expect(seen == [3, 1, 2], seen)
    await server.row("create_documents", {"body": {"a": [1, None]}, "binary_body": [1, {"b": "é"}], "raw": "AAH/", "page": "<a/>"},
                     id=1, body={"a": [1, None]}, binary_body=[1, {"b": "é"}], raw="AAH/", page="<a/>")
    await server.bad("list_documents", "cannot be compared", filters=[{"column": "body", "op": "eq", "value": {}}])
    await server.row("create_moments", {"day": "2026-01-02", "clock": "03:04:05", "stamp": "2026-01-02T03:04:06", "stamp_zone": "2026-01-02T01:04:05+00:00", "span": "P1DT2H"},
                     id=1, day="2026-01-02", clock="03:04:05", clock_zone="03:04:05+02", stamp="2026-01-02T03:04:05.6", stamp_zone="2026-01-02T03:04:05+02:00", span="1 day 2 hours")
    await server.row("create_moments", {"day": "infinity", "stamp_zone": "-infinity"}, id=2, day="infinity", stamp_zone="-infinity")
    await server.bad("create_moments", "2026-13-01", id=3, day="2026-13-01")
    await server.row("create_lists", {"numbers": [1, None, 3], "texts": ["a,b", "{\"}", "NULL", None], "moods": ["it's ok"], "matrix": [[1, 2], [3, 4]], "exacts": ["1.10", "NaN"], "blobs": ["AAE="]},
                     id=1, numbers=[1, None, 3], texts=["a,b", "{\"}", "NULL", None], moods=["it's ok"], matrix=[[1, 2], [3, 4]], exacts=["1.10", "NaN"], blobs=["AAE="])
    await server.row("create_lists", {"numbers": []}, id=2, numbers=[])
    await server.bad("create_lists", "too long", id=3, texts=["0123456789"])
    row = await server.row("create_special", {"mood": "happy", "age": 5, "code": "12345", "fixed": "ab  ", "bits": "101", "address": "10.0.0.0/8", "span": "[1,5)", "both": {"x": 1, "y": "t"}},
                           age=5, code="12345", fixed="ab", bits="101", address="10.0.0.0/8", span="[1,4]", both="(1,t)", point="(1,2)")
    expect(len(row["id"]) == 36, row)
    await server.row("update_special", {"mood": "it's ok"}, id=row["id"].upper(), mood="it's ok")
    await server.bad("update_special", "mood", id=row["id"], mood="angry")
    await server.bad("create_special", "must_be_positive", age=-1)
    # Nothing is cut off in silence.
    await server.bad("create_special", "too long", variable="123456")
    await server.bad("create_special", "too long", code="123456")
    await server.bad("create_special", "bit", bits="10101")
    await server.bad("create_plain", "NUL", name="a\0b")
    await server.row("create_measured", {"value": 1.5}, at="2025-05-05", city="x", value=1.5)
    await server.bad("create_measured", "partition", at="2029-01-01", city="x")
    names = [table["name"] for table in (await server.good("describe_schema"))["tables"]]
    expect("public.measured" in names and "public.measured_2025" not in names and "public.unreadable" not in names, names)
    tool = await tools_of(server, "Offer %s")
    await server.row(tool["create"], {"Kind": "B c"}, Nr=1, Kind="B c", Text="100%")
    found = await server.good(tool["list"], filters=[{"column": "Text", "op": "like", "value": "%\\%"}])
    expect(len(found["rows"]) == 1, found)
    expect(len((await server.good("list_Sales_Dept_plain"))["rows"]) == 0, "the table of another schema")
    await server.bad("create_audited", "turned it away", id=9, v="dropped")
    await server.bad("create_secretive", "row-level security", id=1, owner="somebody", v="x")
    await server.row("create_secretive", {"v": "x"}, id=1, owner="atelier_user", v="x")
    found = await server.good("list_secretive")
    expect([row["id"] for row in found["rows"]] == [1], found)
    found = await server.good("list_read_only_here")
    columns_here = [column["name"] for column in await columns(server, "public.read_only_here")]
    expect(columns_here == ["id", "open"], columns_here)
    await server.good("list_stored_totals")


async def everything(server, operations, dialect):
    server.operations = operations
    await crud(server, dialect == "postgresql")
    await pages(server)
    await (postgres_only if dialect == "postgresql" else sqlite_only)(server)


async def at_once(server, url):
    """Calls beside each other neither wait for ever nor leave a transaction open."""
    results = await asyncio.gather(*(server.call("create_plain", name=f"n{n}") for n in range(12)))
    expect(not any(result.is_error for result in results), results)
    results = await asyncio.gather(*(server.call("create_checked", id=100, email="same", nick="n") for _ in range(6)))
    expect(sum(not result.is_error for result in results) == 1, results)
    await server.row("create_plain", {"name": "after"}, name="after")


async def cases(server, operations, package):
    server.operations = operations
    with open(os.path.join(package, "tests", "cases.json"), encoding="utf-8") as file:
        all_cases = json.load(file)["cases"]
    expect(all_cases, "no cases")

    def holds(wanted, got):
        if isinstance(wanted, dict):
            return isinstance(got, dict) and all(key in got and holds(value, got[key]) for key, value in wanted.items())
        if isinstance(wanted, list):
            return isinstance(got, list) and len(got) == len(wanted) and all(map(holds, wanted, got))
        return wanted == got

    for case in all_cases:
        result = await server.call(case["tool"], **case["arguments"])
        if case["expect"]["type"] == "error":
            expect(result.is_error and case["expect"]["holds"] in result.content[0].text, (case, result.content))
        else:
            expect(not result.is_error and holds(case["expect"]["holds"], result.structured_content), (case, result.content))


async def read_only(server, operations, dialect):
    server.operations = operations
    kinds = {tool["kind"]["operation"] for tool in operations["tools"]}
    expect(kinds == {"list", "get", "describe"}, kinds)
    await server.good("list_plain")
    await server.bad("create_plain", "create_plain", name="x")


async def refused(server, operations, text):
    server.operations = operations
    await server.bad("list_plain", text)


def main():
    what, python, package, *rest = sys.argv[1:]
    if what == "all":
        dialect, url = rest

        async def work(server, operations):
            await everything(server, operations, dialect)
            await at_once(server, url)
    elif what == "cases":
        (url,) = rest

        async def work(server, operations):
            await cases(server, operations, package)
    elif what == "read-only":
        dialect, url = rest

        async def work(server, operations):
            await read_only(server, operations, dialect)
    else:
        url, text = rest

        async def work(server, operations):
            await refused(server, operations, text)

    asyncio.run(start(python, package, url, work))
    print(f"ok {checks}")


main()
