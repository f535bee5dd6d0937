"""A PostgreSQL database on which the cases are called without changing anything in it.

Cases that write run in an empty copy of the tables, which is made in a transaction that nobody
commits: no row, sequence or trigger of the database takes part, and when this program or the
connection ends, whenever that is, the server itself takes it back. Other cases have the server plan
a statement, in a session that cannot write, and never run it.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from runtime.database import DatabaseBackend, Postgres, PostgresSession, Table, quoted
from runtime.errors import ToolFailure

MAY = """
SELECT has_database_privilege(current_database(), 'CREATE'),
       has_database_privilege(current_database(), 'TEMPORARY'), pg_is_in_recovery(),
       ARRAY(SELECT evtname::text FROM pg_catalog.pg_event_trigger
             WHERE evtenabled <> 'D' AND evtevent <> 'login' ORDER BY 1)
"""


class Unavailable(Exception):
    """There is no copy, and why."""


class Copy(Postgres):
    """A copy of the tables, on one connection with one transaction that nobody commits."""

    def __init__(self, server: Postgres, statements: list[str]) -> None:
        super().__init__(server.address, server.variable, False)
        session = PostgresSession(server, True, None)
        self.psycopg = session.load()
        self.connection = session.connect()
        try:
            self.space = self._space()
            self.connection.execute(f"SET LOCAL search_path = {quoted(self.space)}")
            for statement in statements:
                self.connection.execute(statement)
        except BaseException:
            self.close()
            raise

    def _space(self) -> str:
        spaces, temporary, standby, watchers = self.connection.execute(MAY).fetchone()
        if standby:
            raise Unavailable("the server is a standby, on which nothing can be made")
        if watchers:
            raise Unavailable(f"the event trigger `{watchers[0]}` would notice tables that are made")
        if spaces:
            space = f"atelier_test_{uuid.uuid4().hex}"
            self.connection.execute(f"CREATE SCHEMA {quoted(space)}")
            return space
        if temporary:
            return "pg_temp"
        raise Unavailable("its user may make neither schemas nor temporary tables there")

    def session(self, writes: bool, cancel: Any) -> CopySession:
        return CopySession(self, writes, cancel)

    def close(self) -> None:
        """Takes everything back."""
        try:
            self.connection.rollback()
        finally:
            self.connection.close()


class CopySession(PostgresSession):
    """A call: part of the copy's transaction, kept when it succeeds."""

    def __enter__(self) -> CopySession:
        self.psycopg, self.connection = self.driver.psycopg, self.driver.connection
        self.connection.execute("SAVEPOINT call")
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        kept = False
        try:
            if error is None:
                # What waits for the end of a transaction is checked at the end of a call.
                with self.explained(None, {}, []):
                    self.connection.execute("SAVEPOINT checks")
                    self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    self.connection.execute("ROLLBACK TO checks")
                kept = True
        finally:
            if not kept:
                self.connection.execute("ROLLBACK TO call")
            self.connection.execute("RELEASE call")


class Planned(Postgres):
    """The tables themselves; statements are planned and not run."""

    def close(self) -> None:
        """Nothing is held between calls."""

    def session(self, writes: bool, cancel: Any) -> PlanningSession:
        return PlanningSession(self, False, cancel)


class PlanningSession(PostgresSession):
    def query(self, statement: str, values: list[Any]) -> list[Any]:
        super().query("EXPLAIN " + statement, values)
        raise ToolFailure("It was planned and not run.")


def backends(root: Path, package: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """What calls the cases, by what they need of the server; a text says why there is none."""
    made: dict[str, Any] = {}
    address = environment.get(package["database"]["variable"])
    if not address:
        reason = f"set {package['database']['variable']} to try the database too"
        return {"rows": reason, "plan": reason, "copy": reason}
    made["rows"] = DatabaseBackend(package, environment)
    made["plan"] = DatabaseBackend(package, environment)
    real = made["rows"].driver
    made["plan"].driver = Planned(real.address, real.variable, real.read_only)
    plan = root / "tests" / "copy.json"
    if not plan.exists():
        return {**made, "copy": "there was no copy when this package was made"}
    copy = json.loads(plan.read_text(encoding="utf-8"))
    try:
        driver = Copy(real, copy["statements"])
    except Unavailable as reason:
        return {**made, "copy": f"{reason}, so nothing that writes is run"}
    except ToolFailure:
        # It cannot be reached: every call says so, and none of them could write.
        return {**made, "copy": made["plan"]}
    made["copy"] = DatabaseBackend(package, environment)
    made["copy"].driver = driver
    made["copy"].tables = [
        Table({**table, "schema": driver.space, "name": copied_name(package, place)})
        for place, table in enumerate(package["database"]["tables"])
    ]
    return made


def copied_name(package: dict[str, Any], place: int) -> str:
    """Its own name, unless a table before it has that: the copy has one name space."""
    tables = package["database"]["tables"]
    name = tables[place]["name"]
    taken = any(table["name"] == name for table in tables[:place])
    return f"copy {place}" if taken else name
