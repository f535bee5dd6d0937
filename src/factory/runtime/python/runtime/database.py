"""Tools that work on a database: SQLite by the standard library, PostgreSQL by psycopg.

Names of tables and columns come from the package alone and are quoted in one place; every value
is bound. Each call has a connection and a transaction of its own, which ends on every path.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread

from .errors import ToolFailure

MOST_ROWS = 500
DEFAULT_ROWS = 50
MOST_BYTES = 4 * 1024 * 1024
SAFE_INTEGER = 2**53
STATEMENT_SECONDS = 30
LOCK_SECONDS = 5
COMPARISONS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def quoted(name: str) -> str:
    """An identifier, whatever characters it has."""
    if "\0" in name:
        raise ValueError("an identifier holds a NUL character")
    return '"' + name.replace('"', '""') + '"'


class DatabaseBackend:
    """Calls of tools as statements."""

    def __init__(self, package: dict[str, Any], environment: Mapping[str, str]) -> None:
        self.database = package["database"]
        self.tables = [Table(table) for table in self.database["tables"]]
        address = environment.get(self.database["variable"], "")
        kind = Postgres if self.database["dialect"] == "postgresql" else Sqlite
        self.driver = kind(address, self.database["variable"], self.database["read_only"])

    async def open(self) -> None:
        """Nothing is held between calls."""

    async def close(self) -> None:
        """Nothing is held between calls."""

    async def health(self) -> dict[str, Any]:
        try:
            await self._in_thread(lambda session: session.query("SELECT 1", []), writes=False)
        except ToolFailure as failure:
            return {"ok": False, "detail": str(failure)}
        return {"ok": True, "detail": f"{self.database['dialect']} answers"}

    async def call(self, tool: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
        operation = tool["kind"]["operation"]
        if operation == "describe":
            return {"status": "success", **self._describe(arguments)}
        table = self.tables[tool["kind"]["place"]]
        work, writes = {
            "list": (self._list, False),
            "get": (self._get, False),
            "create": (self._create, True),
            "create_many": (self._create_many, True),
            "update": (self._update, True),
            "delete": (self._delete, True),
        }[operation]
        if writes and self.database["read_only"]:
            raise ToolFailure("This server opens the database for reading only.")
        answer = await self._in_thread(lambda session: work(session, table, arguments), writes)
        result = {"status": "success", **answer}
        size = len(json.dumps(result, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if size > MOST_BYTES and not writes:
            raise ToolFailure(
                f"The answer has {size} bytes; at most {MOST_BYTES} are sent. "
                "Ask for fewer rows (`limit`) or columns (`columns`)."
            )
        return result

    async def _in_thread(self, work: Callable[[Session], Any], writes: bool) -> Any:
        cancel = Cancellation()

        def run() -> Any:
            with self.driver.session(writes, cancel) as session:
                return work(session)

        try:
            return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
        except BaseException:
            # A call that was given up stops its statement; the thread rolls back and closes.
            cancel.stop()
            raise

    def _describe(self, arguments: dict[str, Any]) -> dict[str, Any]:
        wanted = arguments.get("table")
        tables = []
        for table in self.tables:
            if wanted is not None and wanted not in (table.name, table.label):
                continue
            tables.append(table.described())
        if wanted is not None and not tables:
            names = ", ".join(table.label for table in self.tables[:50])
            raise ToolFailure(f"There is no table `{wanted}`. There are: {names}.")
        return {
            "dialect": self.database["dialect"],
            "read_only": self.database["read_only"],
            "tables": tables,
        }

    def _list(self, session: Session, table: Table, arguments: dict[str, Any]) -> dict[str, Any]:
        shown = table.choose(arguments.get("columns"))
        limit = min(int(arguments.get("limit") or DEFAULT_ROWS), MOST_ROWS)
        conditions, values = self._conditions(table, arguments.get("filters") or [])
        order = [
            (table.column(one["column"]), one.get("direction", "asc") == "desc")
            for one in arguments.get("order") or []
        ]
        named = {column.argument for column, _ in order}
        order += [(column, False) for column in table.key if column.argument not in named]
        for column, _ in order:
            if not column.comparable:
                raise ToolFailure(f"Rows cannot be ordered by `{column.argument}`.")
        sign = [[column.argument, down] for column, down in order]
        sign.append(arguments.get("filters") or [])
        after, offset = read_cursor(arguments.get("cursor"), sign)
        counted = None
        if arguments.get("total"):
            counted = session.query(
                f"SELECT count(*) FROM {table.sql}{where(conditions)}", list(values)
            )[0][0]
        if after is not None and table.key:
            condition, more = self._beyond(table, order, after)
            conditions.append(condition)
            values += more
        sorting = ", ".join(
            f"({column.sql} IS NULL), {column.sql} {'DESC' if down else 'ASC'}"
            if column.nullable
            else f"{column.sql} {'DESC' if down else 'ASC'}"
            for column, down in order
        )
        read = list(shown) + [column for column, _ in order if column not in shown]
        statement = (
            f"SELECT {self._selected(read)} FROM {table.sql}{where(conditions)}"
            + (f" ORDER BY {sorting}" if sorting else "")
            + f" LIMIT {limit + 1} OFFSET {offset}"
        )
        rows = [self._row(read, row) for row in session.query(statement, values)]
        cursor = None
        if len(rows) > limit:
            rows = rows[:limit]
            if table.key:
                cursor = write_cursor(
                    {"after": [rows[-1][column.argument] for column, _ in order]}, sign
                )
            else:
                cursor = write_cursor({"offset": offset + limit}, sign)
        names = [column.argument for column in shown]
        answer: dict[str, Any] = {
            "rows": [{name: row[name] for name in names} for row in rows],
            "next_cursor": cursor,
        }
        if counted is not None:
            answer["total"] = counted
        return answer

    def _beyond(
        self, table: Table, order: list[tuple[Column, bool]], after: list[Any]
    ) -> tuple[str, list[Any]]:
        """The rows that follow one, where NULL stands behind every value."""
        if len(after) != len(order):
            raise ToolFailure("`cursor` belongs to another call.")
        ways: list[str] = []
        values: list[Any] = []
        for place, (column, down) in enumerate(order):
            if after[place] is None:
                continue
            parts: list[str] = []
            for (before, _), value in zip(order[:place], after[:place], strict=True):
                text, bound = self._same(before, value)
                parts.append(text)
                values += bound
            mark, bound = self.driver.bound(column, column.taken(value := after[place]))
            sign = "<" if down else ">"
            further = f"{column.sql} {sign} {mark}"
            parts.append(f"({further} OR {column.sql} IS NULL)" if column.nullable else further)
            values += bound
            ways.append("(" + " AND ".join(parts) + ")")
        return ("(" + " OR ".join(ways) + ")" if ways else "1 = 0"), values

    def _same(self, column: Column, value: Any) -> tuple[str, list[Any]]:
        if value is None:
            return f"{column.sql} IS NULL", []
        mark, bound = self.driver.bound(column, column.taken(value))
        return f"{column.sql} = {mark}", bound

    def _conditions(
        self, table: Table, filters: list[dict[str, Any]]
    ) -> tuple[list[str], list[Any]]:
        conditions: list[str] = []
        values: list[Any] = []
        for one in filters:
            column, kind, value = table.column(one["column"]), one["op"], one.get("value")
            if kind == "is_null":
                wanted = value is None or bool(value)
                conditions.append(f"{column.sql} IS {'' if wanted else 'NOT '}NULL")
                continue
            if not column.comparable:
                raise ToolFailure(
                    f"Values of `{column.argument}` cannot be compared; only `is_null` works there."
                )
            if kind == "like":
                if not isinstance(value, str):
                    raise ToolFailure(f"`like` on `{column.argument}` needs a text as `value`.")
                conditions.append(f"CAST({column.sql} AS TEXT) LIKE {self.driver.mark}")
                values.append(value)
            elif kind == "in":
                if not isinstance(value, list) or len(value) > MOST_ROWS:
                    raise ToolFailure(
                        f"`in` on `{column.argument}` needs a list of at most {MOST_ROWS} values."
                    )
                marks = []
                for each in value:
                    if each is None:
                        continue
                    mark, bound = self.driver.bound(column, column.taken(each))
                    marks.append(mark)
                    values += bound
                found = f"{column.sql} IN ({', '.join(marks)})" if marks else "1 = 0"
                if None in value:
                    found = f"({found} OR {column.sql} IS NULL)"
                conditions.append(found)
            elif value is None and kind in ("eq", "ne"):
                conditions.append(f"{column.sql} IS {'' if kind == 'eq' else 'NOT '}NULL")
            elif value is None:
                raise ToolFailure(f"`{kind}` on `{column.argument}` needs a `value`.")
            else:
                mark, bound = self.driver.bound(column, column.taken(value))
                found = f"{column.sql} {COMPARISONS[kind]} {mark}"
                # What is unknown is not that value either.
                if kind == "ne" and column.nullable:
                    found = f"({found} OR {column.sql} IS NULL)"
                conditions.append(found)
                values += bound
        return conditions, values

    def _selected(self, columns: list[Column]) -> str:
        return ", ".join(self.driver.selected(column) for column in columns) or "1"

    def _row(self, columns: list[Column], row: Any) -> dict[str, Any]:
        return {
            column.argument: self.driver.given(column, value)
            for column, value in zip(columns, row, strict=True)
        }

    def _chosen(self, table: Table, arguments: dict[str, Any]) -> tuple[str, list[Any], str]:
        """The condition that picks one row."""
        by = table.key or [column for column in table.columns if column.argument in arguments]
        if not by:
            raise ToolFailure("Give at least one column to find the row by.")
        conditions: list[str] = []
        values: list[Any] = []
        for column in by:
            text, bound = self._same(column, arguments[column.argument])
            conditions.append(text)
            values += bound
        told = ", ".join(f"{column.argument} = {arguments[column.argument]!r}" for column in by)
        return " AND ".join(conditions), values, told

    def _get(self, session: Session, table: Table, arguments: dict[str, Any]) -> dict[str, Any]:
        condition, values, told = self._chosen(table, arguments)
        rows = session.query(
            f"SELECT {self._selected(table.columns)} FROM {table.sql} WHERE {condition} LIMIT 2",
            values,
        )
        self._exactly_one(table, rows, told)
        return {"row": self._row(table.columns, rows[0])}

    def _exactly_one(self, table: Table, rows: list[Any], told: str) -> None:
        if not rows:
            raise ToolFailure(f"`{table.label}` has no row with {told}.")
        if len(rows) > 1:
            raise ToolFailure(
                f"`{table.label}` has several rows with {told}; nothing was changed. "
                "Choose the row by further columns."
            )

    def _create(self, session: Session, table: Table, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"row": self._insert(session, table, arguments)}

    def _insert(self, session: Session, table: Table, arguments: dict[str, Any]) -> dict[str, Any]:
        names: list[str] = []
        marks: list[str] = []
        values: list[Any] = []
        for column in table.columns:
            if column.argument not in arguments:
                continue
            mark, bound = self.driver.bound(column, column.taken(arguments[column.argument]))
            names.append(column.sql)
            marks.append(mark)
            values += bound
        content = (
            f"({', '.join(names)}) VALUES ({', '.join(marks)})" if names else "DEFAULT VALUES"
        )
        statement = (
            f"INSERT INTO {table.sql} {content} RETURNING {self._selected(table.columns)}"
        )
        with session.explained(table, arguments, self.tables):
            rows = session.query(statement, values)
        if len(rows) != 1:
            raise ToolFailure(f"`{table.label}` took no row: a trigger or rule turned it away.")
        return self._stored(session, table, self._row(table.columns, rows[0]))

    def _stored(self, session: Session, table: Table, row: dict[str, Any]) -> dict[str, Any]:
        """A row as it stands now: what was returned is older than triggers that came after it."""
        if not table.key:
            return row
        condition, values, _ = self._chosen(table, row)
        rows = session.query(
            f"SELECT {self._selected(table.columns)} FROM {table.sql} WHERE {condition} LIMIT 2",
            values,
        )
        return self._row(table.columns, rows[0]) if len(rows) == 1 else row

    def _create_many(
        self, session: Session, table: Table, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        rows = []
        for place, row in enumerate(arguments["rows"]):
            try:
                rows.append(self._insert(session, table, row))
            except ToolFailure as failure:
                raise ToolFailure(
                    f"Row {place}: {failure} No row was created.",
                    {**(getattr(failure, "details", None) or {}), "row": place},
                ) from failure
        return {"rows": rows, "created": len(rows)}

    def _update(self, session: Session, table: Table, arguments: dict[str, Any]) -> dict[str, Any]:
        condition, chosen, told = self._chosen(table, arguments)
        changes: list[str] = []
        values: list[Any] = []
        keys = {column.argument for column in table.key}
        for column in table.columns:
            if column.argument in keys or column.argument not in arguments:
                continue
            mark, bound = self.driver.bound(column, column.taken(arguments[column.argument]))
            changes.append(f"{column.sql} = {mark}")
            values += bound
        if not changes:
            raise ToolFailure("Give at least one column to change.")
        statement = (
            f"UPDATE {table.sql} SET {', '.join(changes)} WHERE {condition} "
            f"RETURNING {self._selected(table.columns)}"
        )
        with session.explained(table, arguments, self.tables):
            rows = session.query(statement, values + chosen)
        self._exactly_one(table, rows, told)
        return {"row": self._stored(session, table, self._row(table.columns, rows[0]))}

    def _delete(self, session: Session, table: Table, arguments: dict[str, Any]) -> dict[str, Any]:
        condition, values, told = self._chosen(table, arguments)
        statement = (
            f"DELETE FROM {table.sql} WHERE {condition} "
            f"RETURNING {self._selected(table.columns)}"
        )
        with session.explained(table, arguments, self.tables):
            rows = session.query(statement, values)
        self._exactly_one(table, rows, told)
        return {"deleted": 1, "row": self._row(table.columns, rows[0])}


def where(conditions: list[str]) -> str:
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def signature(sign: list[Any]) -> int:
    text = json.dumps(sign, sort_keys=True)
    return binascii.crc32(text.encode("utf-8", "surrogatepass"))


def write_cursor(content: dict[str, Any], sign: list[Any]) -> str:
    text = json.dumps({**content, "of": signature(sign)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode()


def read_cursor(cursor: str | None, sign: list[Any]) -> tuple[list[Any] | None, int]:
    if not cursor:
        return None, 0
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        after, offset, of = content.get("after"), content.get("offset", 0), content["of"]
        good = (after is None or isinstance(after, list)) and type(offset) is int and offset >= 0
    except (ValueError, TypeError, KeyError, AttributeError):
        good = False
    if not good:
        raise ToolFailure("`cursor` is none that this tool gave; leave it out to begin anew.")
    if of != signature(sign):
        raise ToolFailure("`cursor` belongs to other filters or another order.")
    return after, offset


class Column:
    """A column as the package describes it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.name: str = data["name"]
        self.argument: str = data["argument"]
        self.cast: str = data.get("cast") or data["declared"]
        self.type: str = data["type"]
        self.items: dict[str, Any] = data.get("items") or {}
        self.nullable: bool = data["nullable"]
        self.comparable: bool = data["comparable"]
        self.data = data
        self.sql = quoted(self.name)

    def taken(self, value: Any) -> Any:
        """An argument as Python holds it."""
        try:
            return taken(self.type, self.items, value)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise ToolFailure(f"`{self.argument}`: {error}", {"column": self.argument}) from error


def taken(kind: str, items: dict[str, Any], value: Any) -> Any:
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    if kind == "array":
        if not isinstance(value, list):
            raise ValueError("a list is expected")
        inner = (items.get("type", "other"), items.get("items") or {})
        return [
            taken("array", items, one) if isinstance(one, list) else taken(*inner, one)
            for one in value
        ]
    if isinstance(value, dict) and kind in ("any", "blob", "text", "integer", "decimal", "float"):
        if set(value) == {"base64"}:
            return decoded(value["base64"])
        if set(value) == {"text"} and isinstance(value["text"], str):
            return value["text"]
    if kind == "blob":
        return decoded(value)
    if kind == "integer":
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value):
            value = int(value)
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("the number has more than 64 bits")
        return value
    if kind == "decimal":
        return str(value) if isinstance(value, (int, float)) else value
    if kind == "float":
        return float(value)
    if kind == "any" and isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("the number has more than 64 bits")
    return value


def decoded(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("base64 is expected")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"this is no base64: {error}") from error


def plain(value: Any) -> Any:
    """A value as JSON can hold it without losing anything."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return str(value)


class Table:
    """A table or view as the package describes it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.name: str = data["name"]
        self.schema: str | None = data.get("schema")
        self.data = data
        self.columns = [Column(column) for column in data["columns"]]
        self.by_argument = {column.argument: column for column in self.columns}
        self.key = [self.by_argument[argument] for argument in data["key"]]
        self.foreign_keys: list[dict[str, Any]] = data.get("foreign_keys") or []
        self.label = f"{self.schema}.{self.name}" if self.schema else self.name
        self.sql = (quoted(self.schema) + "." if self.schema else "") + quoted(self.name)

    def column(self, argument: str) -> Column:
        try:
            return self.by_argument[argument]
        except KeyError:
            raise ToolFailure(f"`{self.label}` has no column `{argument}`.") from None

    def choose(self, arguments: list[str] | None) -> list[Column]:
        if not arguments:
            return self.columns
        return [self.column(argument) for argument in dict.fromkeys(arguments)]

    def named(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def described(self) -> dict[str, Any]:
        columns = []
        for column in self.columns:
            told = {
                key: column.data[key]
                for key in ("name", "argument", "declared", "type", "choices", "nullable", "writable", "optional", "comment")
                if column.data.get(key) not in (None, "")
            }
            columns.append(told)
        return {
            "name": self.label,
            "kind": self.data["kind"],
            "comment": self.data.get("comment", ""),
            "key": self.data["key"],
            "columns": columns,
            "foreign_keys": self.foreign_keys,
        }


class Cancellation:
    """Stops the statement of a call that nobody waits for any more."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stopped = False
        self.stopper: Callable[[], Any] | None = None

    def attach(self, stopper: Callable[[], Any] | None) -> None:
        with self.lock:
            self.stopper = stopper
            if not self.stopped:
                return
        if stopper is not None:
            stopper()

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            stopper = self.stopper
        if stopper is not None:
            try:
                stopper()
            except Exception:  # The connection may be gone already.
                return


class Session:
    """One connection with one transaction."""

    def query(self, statement: str, values: list[Any]) -> list[Any]:
        raise NotImplementedError

    def explained(self, table: Table, arguments: dict[str, Any], tables: list[Table]) -> Any:
        raise NotImplementedError


# ---------------------------------------------------------------------------------------------
# SQLite


class Sqlite:
    """Files."""

    mark = "?"

    def __init__(self, address: str, variable: str, read_only: bool) -> None:
        self.path = file_of(address)
        self.variable = variable
        self.read_only = read_only

    def bound(self, column: Column, value: Any) -> tuple[str, list[Any]]:
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, (list, dict)):
            raise ToolFailure(f"`{column.argument}`: a list or object cannot be stored here.")
        return "?", [value]

    def selected(self, column: Column) -> str:
        return column.sql

    def given(self, column: Column, value: Any) -> Any:
        if value is None:
            return None
        if column.type == "blob":
            if isinstance(value, bytes):
                return base64.b64encode(value).decode()
            return {"text": value} if isinstance(value, str) else plain(value)
        if column.type == "boolean" and value in (0, 1):
            return bool(value)
        if column.type == "decimal" and isinstance(value, (int, float)):
            return decimal_text(value)
        if column.type == "json" and isinstance(value, str):
            try:
                return plain(json.loads(value))
            except ValueError:
                return value
        return plain(value)

    def session(self, writes: bool, cancel: Cancellation) -> SqliteSession:
        if not self.path:
            raise ToolFailure(
                f"The environment variable {self.variable} is not set: it must hold the path of "
                "the database file."
            )
        return SqliteSession(self, writes and not self.read_only, cancel)


def decimal_text(value: int | float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(plain(value))
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text


def file_of(address: str) -> str:
    for prefix in ("sqlite://", "sqlite:"):
        if address.startswith(prefix):
            rest = address[len(prefix) :].split("?", 1)[0]
            return unquote(rest)
    return address


class SqliteSession(Session):
    def __init__(self, driver: Sqlite, writes: bool, cancel: Cancellation) -> None:
        self.driver, self.writes, self.cancel = driver, writes, cancel

    def __enter__(self) -> SqliteSession:
        path = os.path.abspath(self.driver.path)
        mode = "rw" if self.writes else "ro"
        try:
            self.connection = sqlite3.connect(
                f"file:{quote(path)}?mode={mode}",
                uri=True,
                timeout=LOCK_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._unreachable(error) from error
        try:
            # Text that is no UTF-8 is still shown.
            self.connection.text_factory = lambda data: data.decode("utf-8", "replace")
            self.connection.execute("PRAGMA foreign_keys = ON")
            if not self.writes:
                self.connection.execute("PRAGMA query_only = ON")
            self.connection.execute("BEGIN IMMEDIATE" if self.writes else "BEGIN")
            self.cancel.attach(self.connection.interrupt)
        except sqlite3.Error as error:
            self.connection.close()
            raise self._unreachable(error) from error
        except BaseException:
            self.connection.close()
            raise
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None and not self.cancel.stopped:
                with self.explained(None, {}, []):
                    self.connection.execute("COMMIT")
        finally:
            self.cancel.attach(None)
            try:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            finally:
                self.connection.close()

    def query(self, statement: str, values: list[Any]) -> list[Any]:
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.IntegrityError:
            raise
        except OverflowError as error:
            raise ToolFailure("A number has more than 64 bits.") from error
        except sqlite3.Error as error:
            raise self._unreachable(error) from error

    def explained(
        self, table: Table | None, arguments: dict[str, Any], tables: list[Table]
    ) -> SqliteExplained:
        return SqliteExplained(self, table, arguments, tables)

    def _unreachable(self, error: sqlite3.Error) -> ToolFailure:
        text = str(error)
        name = getattr(error, "sqlite_errorname", "") or ""
        path = os.path.basename(self.driver.path)
        if name.startswith("SQLITE_CANTOPEN"):
            if not os.path.exists(self.driver.path):
                return ToolFailure(
                    f"There is no database file `{path}`; set {self.driver.variable} to its path."
                )
            return ToolFailure(f"The database file `{path}` cannot be opened; check its rights.")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return ToolFailure(
                f"The database is locked by another program since {LOCK_SECONDS} seconds; try again."
            )
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return ToolFailure(f"The file `{path}` is damaged or no SQLite database.")
        if name.startswith("SQLITE_READONLY"):
            return ToolFailure(f"The database file `{path}` may not be written; check its rights.")
        if name.startswith("SQLITE_FULL"):
            return ToolFailure("The disk is full.")
        if name.startswith("SQLITE_INTERRUPT"):
            return ToolFailure("The statement was stopped.")
        return ToolFailure(f"The database refuses: {text}.")


class SqliteExplained:
    """Says which constraint a statement broke."""

    def __init__(
        self,
        session: SqliteSession,
        table: Table | None,
        arguments: dict[str, Any],
        tables: list[Table],
    ) -> None:
        self.session, self.table, self.arguments, self.tables = session, table, arguments, tables

    def __enter__(self) -> SqliteExplained:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, sqlite3.IntegrityError):
            raise self._failure(str(error)) from error
        if isinstance(error, sqlite3.Error):
            raise self.session._unreachable(error) from error

    def _failure(self, text: str) -> ToolFailure:
        kind, _, what = text.partition(" constraint failed")
        what = what.removeprefix(": ")
        details: dict[str, Any] = {}
        if kind in ("UNIQUE", "NOT NULL") and what:
            columns = [one.strip().rpartition(".")[2] for one in what.split(", ")]
            details = {"constraint": f"{kind.lower()} ({what})", "columns": columns}
            told = ", ".join(f"`{column}`" for column in columns)
            if kind == "UNIQUE":
                return ToolFailure(
                    f"UNIQUE constraint failed: {what}. Another row has this value of {told}.",
                    details,
                )
            return ToolFailure(f"NOT NULL constraint failed: {what}. {told} needs a value.", details)
        if kind == "CHECK":
            details = {"constraint": what}
            return ToolFailure(f"CHECK constraint failed: {what}.", details)
        if kind == "FOREIGN KEY":
            return self._foreign_key()
        return ToolFailure(f"The database refuses: {text}.", {"constraint": text})

    def _foreign_key(self) -> ToolFailure:
        """SQLite does not say which; the rows tell."""
        if self.table is not None:
            for key in self.table.foreign_keys:
                columns = [self.table.named(name) for name in key["columns"]]
                values = [
                    column.taken(self.arguments.get(column.argument)) if column else None
                    for column in columns
                ]
                if not values or any(value is None for value in values):
                    continue
                test = " AND ".join(f"{quoted(name)} = ?" for name in key["target_columns"])
                found = self.session.connection.execute(
                    f"SELECT 1 FROM {quoted(key['target'])} WHERE {test} LIMIT 1", values
                ).fetchone()
                if found is None:
                    told = ", ".join(f"`{name}`" for name in key["columns"])
                    return ToolFailure(
                        f"FOREIGN KEY constraint failed: {told} must name a row of "
                        f"`{key['target']}` ({', '.join(key['target_columns'])}), and there is none.",
                        {"constraint": "foreign key", "columns": key["columns"]},
                    )
            pointing = [
                table.name
                for table in self.tables
                for key in table.foreign_keys
                if key["target"].lower() == self.table.name.lower()
            ]
            if pointing:
                told = ", ".join(f"`{name}`" for name in dict.fromkeys(pointing))
                return ToolFailure(
                    f"FOREIGN KEY constraint failed: rows of {told} point to this row.",
                    {"constraint": "foreign key", "tables": list(dict.fromkeys(pointing))},
                )
        return ToolFailure(
            "FOREIGN KEY constraint failed: a row that is pointed to is missing.",
            {"constraint": "foreign key"},
        )


# ---------------------------------------------------------------------------------------------
# PostgreSQL


class Postgres:
    """Servers."""

    mark = "\0"  # Stands in no identifier; `query` turns it into what psycopg expects.

    def __init__(self, address: str, variable: str, read_only: bool) -> None:
        self.address = address
        self.variable = variable
        self.read_only = read_only

    def bound(self, column: Column, value: Any) -> tuple[str, list[Any]]:
        if isinstance(value, list):
            value = texts(value)
        elif isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, (int, float)):
            value = str(plain(value)) if isinstance(value, float) else str(value)
        elif isinstance(value, dict):
            value = json.dumps(value, ensure_ascii=False)
        if isinstance(value, str) and "\0" in value:
            raise ToolFailure(f"`{column.argument}`: PostgreSQL stores no NUL characters.")
        # The server reads the text as the column's type: nothing is guessed on the way.
        return f"CAST({self.mark} AS {column.cast})", [value]

    def selected(self, column: Column) -> str:
        if column.type in ("decimal", "json"):
            return f"CAST({column.sql} AS text)"
        if column.type in ("time", "array", "other", "any"):
            return f"CAST(to_jsonb({column.sql}) AS text)"
        return column.sql

    def given(self, column: Column, value: Any) -> Any:
        if value is None:
            return None
        if column.type == "blob":
            return base64.b64encode(bytes(value)).decode()
        if column.type == "json":
            return plain(json.loads(value))
        if column.type in ("time", "array", "other", "any"):
            return listed(column.items, json.loads(value, parse_float=Decimal))
        return plain(value)

    def session(self, writes: bool, cancel: Cancellation) -> PostgresSession:
        if not self.address:
            raise ToolFailure(
                f"The environment variable {self.variable} is not set: it must hold the URL of "
                "the database (postgresql://…)."
            )
        return PostgresSession(self, writes and not self.read_only, cancel)


def texts(value: list[Any]) -> list[Any]:
    """Items as texts, which the server reads as the items' type."""
    made = []
    for one in value:
        if isinstance(one, list):
            made.append(texts(one))
        elif isinstance(one, bool):
            made.append("true" if one else "false")
        elif isinstance(one, bytes):
            made.append("\\x" + one.hex())
        elif one is None or isinstance(one, str):
            made.append(one)
        else:
            made.append(str(plain(one)))
    return made


def listed(items: dict[str, Any], value: Any) -> Any:
    """What `to_jsonb` made of a list, as single values are given."""
    if isinstance(value, list):
        return [listed(items, one) for one in value]
    kind = items.get("type")
    if kind == "decimal" and isinstance(value, (int, Decimal)):
        return str(value)
    if kind == "blob" and isinstance(value, str) and value.startswith("\\x"):
        return base64.b64encode(bytes.fromhex(value[2:])).decode()
    if isinstance(value, Decimal):
        return plain(float(value))
    if isinstance(value, dict):
        return {key: listed({}, one) for key, one in value.items()}
    return plain(value)


class PostgresSession(Session):
    def __init__(self, driver: Postgres, writes: bool, cancel: Cancellation) -> None:
        self.driver, self.writes, self.cancel = driver, writes, cancel

    def load(self) -> Any:
        """The driver, which other databases do without."""
        import psycopg

        self.psycopg = psycopg
        return psycopg

    def connect(self) -> Any:
        """A connection on which every transaction has the bounds of a call."""
        options = (
            f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c lock_timeout={LOCK_SECONDS * 1000}"
            " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
            " -c datestyle=ISO -c intervalstyle=iso_8601"
            " -c default_transaction_read_only=" + ("off" if self.writes else "on")
        )
        address = self.driver.address.replace("postgres://", "postgresql://", 1)
        try:
            return self.psycopg.connect(
                address, autocommit=False, connect_timeout=10, options=options
            )
        except self.psycopg.Error as error:
            raise self._unreachable(error) from None

    def __enter__(self) -> PostgresSession:
        self.load()
        self.connection = self.connect()
        self.connection.read_only = not self.writes
        self.cancel.attach(self.connection.cancel)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None and not self.cancel.stopped:
                with self.explained(None, {}, []):
                    self.connection.commit()
        finally:
            self.cancel.attach(None)
            # Whatever is still open is rolled back by the end of the connection.
            self.connection.close()

    def query(self, statement: str, values: list[Any]) -> list[Any]:
        # Names may hold `%`; only our own marks are placeholders.
        statement = statement.replace("%", "%%").replace(Postgres.mark, "%s")
        try:
            cursor = self.connection.execute(statement, values)
            return cursor.fetchall()
        except self.psycopg.errors.IntegrityError:
            raise
        except self.psycopg.Error as error:
            raise self._failure(error) from error

    def explained(
        self, table: Table | None, arguments: dict[str, Any], tables: list[Table]
    ) -> PostgresExplained:
        return PostgresExplained(self)

    def _unreachable(self, error: Any) -> ToolFailure:
        """Texts of drivers may hold the address; only what is known to be harmless is told."""
        text = str(error).lower()
        reasons = {
            "password authentication failed": "user or password is wrong",
            "no password supplied": "a password is needed",
            "connection refused": "nothing answers at that address",
            "could not translate host": "there is no such host",
            "name or service not known": "there is no such host",
            "timeout": "it does not answer in time",
            "does not exist": "there is no such database or user",
            "no such file": "there is no such socket",
            "too many": "it has too many connections",
            "ssl": "the encrypted connection failed",
            "invalid": "the URL is malformed",
        }
        reason = next((why for word, why in reasons.items() if word in text), "connecting failed")
        return ToolFailure(
            f"The database cannot be reached: {reason}. Check the environment variable "
            f"{self.driver.variable}."
        )

    def _failure(self, error: Any) -> ToolFailure:
        diag = error.diag
        message = (diag.message_primary or "the connection was lost").strip()
        details: dict[str, Any] = {}
        for key, value in (
            ("sqlstate", error.sqlstate),
            ("constraint", diag.constraint_name),
            ("column", diag.column_name),
            ("table", diag.table_name),
        ):
            if value:
                details[key] = value
        kind = {
            "23505": "UNIQUE constraint failed",
            "23503": "FOREIGN KEY constraint failed",
            "23514": "CHECK constraint failed",
            "23502": "NOT NULL constraint failed",
            "23P01": "EXCLUDE constraint failed",
            "57014": "The statement took too long or was stopped",
            "55P03": "The row is locked by another program",
            "42501": "The database user has no right to do this",
            "25006": "The database is opened for reading only",
        }.get(error.sqlstate or "", "The database refuses")
        told = f"{kind}: {message}"
        if diag.constraint_name and diag.constraint_name not in told:
            told += f" (constraint {diag.constraint_name})"
        if diag.column_name and diag.column_name not in told:
            told += f" (column {diag.column_name})"
        if diag.message_detail and (error.sqlstate or "").startswith("23"):
            told += f". {diag.message_detail}"
        return ToolFailure(told if told.endswith(".") else told + ".", details)


class PostgresExplained:
    def __init__(self, session: PostgresSession) -> None:
        self.session = session

    def __enter__(self) -> PostgresExplained:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, self.session.psycopg.Error):
            raise self.session._failure(error) from error
