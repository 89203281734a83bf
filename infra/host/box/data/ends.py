"""The only place that speaks to the two databases of a move: what each is, what is marked on it, who may write.

The mark is a comment on the database, so it lies where the rows lie, is changed in the same transaction as the right
to write, and is never dumped with them.
"""

# ruff: noqa: S608 - the names in queries are constants of ours, or quoted by format() on the server

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from infra.core.errors import Fault, TerraceError
from infra.host.box.backup.box import POSTGRES, program
from infra.host.box.data.session import Session

ROLE = DATABASE = "app"
SETTLED = {
    "PGOPTIONS": "-c default_transaction_read_only=off -c DateStyle=ISO -c TimeZone=UTC -c extra_float_digits=1 "
    "-c bytea_output=hex -c IntervalStyle=postgres -c jit=off",
    "PGAPPNAME": "terrace-data",
    "PGCONNECT_TIMEOUT": "10",
}
"""What a session of ours is set to on both sides, so that the same row has the same text; a query is asked once or
twice, and never worth compiling."""


class State(StrEnum):
    """What is marked on a database."""

    ABSENT = "absent"
    """There is no such database, or nothing of ours in it."""
    COPYING = "copying"
    FOLLOWING = "following"
    """Takes up what the writer writes, by replication; the application cannot log in."""
    COPIED = "copied"
    """Whole and closed: the application may look at it, and not write."""
    FENCED = "fenced"
    """The application cannot log in."""
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Mark:
    """State and epoch; a higher epoch knows of every earlier switch."""

    state: State
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """One of the two databases, reached by programs that run as PostgreSQL's own account of this machine.

    `is_ours`: it stands on this machine, where that account is its superuser.
    """

    name: str
    options: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_ours: bool = False
    sessions: dict[str, Session] = field(default_factory=dict, repr=False, compare=False)
    """Open ones, by database."""

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout_seconds: float = 6 * 3600.0) -> str:
        """What a program of PostgreSQL writes, its options of connection put after its name.

        Raises:
            TerraceError: it failed; passwords stand in its environment alone.
        """
        first, *rest = argv
        environment = {**SETTLED, **self.environment}
        try:
            return program(
                first, *self.options, *rest, user=POSTGRES, stdin=stdin, environment=environment,
                timeout_seconds=timeout_seconds,
            )  # fmt: skip
        except TerraceError as error:
            raise TerraceError(
                *(Fault(f"{self.name}: {first}", each.what, "See above") for each in error.faults)
            ) from error

    def sql(self, query: str, *, database: str = "postgres") -> str:
        """The answer to a query, in a session that stays open until one fails.

        Raises:
            TerraceError: it failed; the next query begins another session.
        """
        if database not in self.sessions:
            self.sessions[database] = Session(database, self.options, {**SETTLED, **self.environment})
        try:
            return self.sessions[database].ask(query)
        except TerraceError as error:
            self._leave(database)
            raise TerraceError(
                *(Fault(f"{self.name}: psql", each.what, "See above") for each in error.faults)
            ) from error
        except BaseException:
            self._leave(database)  # What it still answers is not the answer to the next query.
            raise

    def _leave(self, database: str) -> None:
        if (session := self.sessions.pop(database, None)) is not None:
            session.close()

    def mark(self) -> Mark:
        """What is marked; a database with tables and no mark is one that always was open."""
        found = self.sql(
            "select coalesce(shobj_description(oid, 'pg_database'), '') from pg_database "
            f"where datname = '{DATABASE}'"
        )
        try:
            said = json.loads(found)["terrace"]
            return Mark(State(said["state"]), int(said["epoch"]))
        except (ValueError, KeyError, TypeError):
            return Mark(State.OPEN if self.tables() else State.ABSENT)

    def tables(self) -> int:
        """How many tables of its own the database has; 0 where there is no such database."""
        if not self.exists():
            return 0
        return int(
            self.sql(
                "select count(*) from pg_class c where relkind in ('r', 'p') and relnamespace not in "
                "(select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema')) "
                "and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')",
                database=DATABASE,
            )
        )

    def exists(self) -> bool:
        """Whether there is such a database."""
        return bool(self.sql(f"select 1 from pg_database where datname = '{DATABASE}'"))

    def bytes(self) -> int:
        """The size of the database."""
        return int(self.sql(f"select pg_database_size('{DATABASE}')")) if self.exists() else 0

    def fence(self, epoch: int) -> None:
        """Takes the application's right to log in, and ends its sessions; returns when none is left.

        Raises:
            TerraceError: a prepared transaction of the application stands, which would write without a session.
        """
        if self.sql(f"select 1 from pg_prepared_xacts where database = '{DATABASE}' limit 1"):
            raise TerraceError(
                Fault(self.name, "has a prepared transaction, which outlives its session", "End it first")
            )
        self.sql(f"begin; alter role {ROLE} nologin; {_comment(State.FENCED, epoch)} commit;")
        self._end_sessions()

    def follow(self, epoch: int) -> None:
        """Marks a copy that is whole and follows the writer."""
        self.sql(_comment(State.FOLLOWING, epoch))

    def close(self, epoch: int) -> None:
        """Lets the application look at a whole copy, and not write."""
        self.sql(
            f"begin; alter database {DATABASE} set default_transaction_read_only = on; "
            f"alter role {ROLE} login; {_comment(State.COPIED, epoch)} commit;"
        )

    def unlisten(self, epoch: int) -> None:
        """Takes a close() back where the copy goes on following."""
        self.sql(
            f"begin; alter database {DATABASE} reset default_transaction_read_only; "
            f"alter role {ROLE} nologin; {_comment(State.FOLLOWING, epoch)} commit;"
        )

    def open(self, epoch: int) -> None:
        """Lets the application write; its sessions begin anew.

        Raises:
            TerraceError: a later switch is known to it.
        """
        if (found := self.mark()).epoch > epoch:
            raise TerraceError(
                Fault(
                    self.name, f"knows of epoch {found.epoch}, later than {epoch}", "Look: terrace-data plan"
                )
            )
        self.sql(
            f"begin; alter database {DATABASE} reset default_transaction_read_only; "
            f"alter role {ROLE} login; {_comment(State.OPEN, epoch)} commit;"
        )
        self._end_sessions()

    def empty(self, epoch: int, verifier: str) -> str:
        """Makes an empty database beside whatever was there; the name under which that is kept, if it is.

        Raises:
            TerraceError: there are tables that no move of ours left.
        """
        found, kept = self.mark(), ""
        if found.state is State.OPEN:
            raise TerraceError(
                Fault(
                    self.name,
                    f"has {self.tables()} tables in its database {DATABASE}: a copy goes into an empty one",
                    f"Look what they are; rename or drop that database ({DATABASE}) by hand",
                )
            )
        self._provide_role(verifier)
        self._leave(DATABASE)
        if found.state is State.FENCED:
            kept = f"{DATABASE}_before_{epoch}"
            self._end_sessions()
            # A `plan` that somebody asks meanwhile has a session there, and would make the renaming fail.
            self.sql(
                f"select pg_terminate_backend(pid, 1000) from pg_stat_activity where datname = '{DATABASE}' "
                f"and usename = current_user and application_name = '{SETTLED['PGAPPNAME']}'; "
                f"alter database {DATABASE} rename to {kept}"
            )
        else:
            self.sql(f"drop database if exists {DATABASE} with (force)")
        self.sql(
            f"create database {DATABASE} template template0 encoding 'UTF8' "
            "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"
        )
        self.sql(f"{_comment(State.COPYING, epoch)} alter database {DATABASE} owner to {ROLE};")
        return kept

    def _provide_role(self, verifier: str) -> None:
        """The application's role, with a password that the server never sees, and no right to log in yet."""
        self.sql(
            f"""
            do $do$ begin
              if not exists (select from pg_roles where rolname = '{ROLE}') then create role {ROLE}; end if;
            end $do$;
            alter role {ROLE} nologin password '{verifier}';
            do $do$ begin
              if not (select rolsuper from pg_roles where rolname = current_user) then
                execute format('grant {ROLE} to %I with inherit true, set true', current_user); end if;
            end $do$;
            """
            if not self.is_ours
            else f"alter role {ROLE} nologin;"
        )

    def _end_sessions(self) -> None:
        self.sql(
            "do $do$ begin for i in 1..300 loop "
            "perform pg_terminate_backend(pid) from pg_stat_activity "
            f"where usename = '{ROLE}' and pid <> pg_backend_pid(); "
            "perform pg_stat_clear_snapshot(); "
            f"exit when not exists (select from pg_stat_activity where usename = '{ROLE}'); "
            "perform pg_sleep(0.1); end loop; "
            f"if exists (select from pg_stat_activity where usename = '{ROLE}') then "
            "raise exception 'sessions of the application do not end'; end if; end $do$;"
        )


def _comment(state: State, epoch: int) -> str:
    said = json.dumps({"terrace": {"state": state.value, "epoch": epoch}})
    return f"comment on database {DATABASE} is '{said}';"
