"""The only place for replication during a move: the copy follows the writer until a switch ends both within seconds.

One publication, one subscription and its slot, all of one name; sequences are not replicated and are set at the
switch (PostgreSQL documentation, "Logical Replication: Restrictions"). What a lost follower would keep of the
write-ahead log is bounded, so that the writer's disk never fills: beyond it the slot is lost, and the copy is made
anew.
"""

# ruff: noqa: S608 - the names in queries are constants of ours, or quoted by format() on the server

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from infra.core.errors import Fault, TerraceError
from infra.host.box.data.ends import DATABASE, End
from infra.host.box.data.listener import PORT, ROLE
from infra.host.box.data.record import scram

NAME = "terrace_move"
WAIT_SECONDS = 6 * 3600.0
NEAR_BYTES = 1024**2
"""A follower this near is through in a moment."""
DRAIN_SECONDS = 30.0
POLL_SECONDS = 0.05

OnStep = Callable[[str], Any]


class Listener(Protocol):
    """How the follower reaches the writer."""

    def open(self, keep_mib: int) -> str:
        """Makes the way; the writer's address."""

    def close(self) -> None:
        """Takes it away."""


@dataclass(frozen=True, slots=True)
class Following:
    """A target that follows a source; `keep_mib` bounds what the source keeps for it."""

    source: End
    target: End
    listener: Listener
    keep_mib: int

    def refusals(self) -> list[str]:
        """Why the source cannot be followed, in sentences."""
        if not self.source.is_ours:
            return [f"{self.source.name} cannot be followed, only PostgreSQL on the box can: copy instead"]
        bare = self.source.sql(
            "select coalesce(string_agg(format('%I.%I', nspname, relname), ', ' order by 1), '') from pg_class c "
            "join pg_namespace n on n.oid = relnamespace where relkind in ('r', 'p') and relpersistence = 'p' "
            "and nspname not in ('pg_catalog', 'information_schema') and nspname not like 'pg_%' and "
            "relreplident <> 'f' and not (relreplident = 'd' and exists (select from pg_index i "
            "where indrelid = c.oid and indisprimary)) "
            "and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')",
            database=DATABASE,
        )
        large = self.source.sql("select count(*) from pg_largeobject_metadata", database=DATABASE)
        faults = []
        if (level := self.source.sql("show wal_level")) != "logical":
            faults.append(f"wal_level is {level}, and has to be logical: terrace-host install, and a restart")
        if bare:
            # To publish them would make the application's own updates fail.
            faults.append(
                f"tables without a primary key cannot be followed: {bare}; give them one, or "
                "alter table … replica identity full"
            )
        if large != "0":
            faults.append(f"{large} large objects are not replicated: copy instead")
        return faults

    def begin(self, on_step: OnStep) -> None:
        """Publishes, opens the door, and subscribes; the first copy of the rows goes on by itself from here."""
        secret = secrets.token_urlsafe(32)
        # Owned by the superuser and read by one role alone; the server is given the password's verifier.
        self.source.sql(
            f"""
            do $do$ begin
              if not exists (select from pg_roles where rolname = '{ROLE}') then create role {ROLE}; end if;
            end $do$;
            alter role {ROLE} login replication password '{scram(secret)}';
            grant pg_read_all_data to {ROLE};
            """
        )
        self.source.sql(
            f"drop publication if exists {NAME}; create publication {NAME} for all tables;", database=DATABASE
        )
        on_step("opening the way from the target")
        host = self.listener.open(self.keep_mib)
        on_step("subscribing")
        way = f"host={host} port={PORT} dbname={DATABASE} user={ROLE} password={secret} sslmode=require"
        self.target.sql(
            f"create subscription {NAME} connection '{way}' publication {NAME};", database=DATABASE
        )

    def stands(self) -> bool:
        """Whether the target has the subscription."""
        if not self.target.exists():
            return False
        return (
            self.target.sql(f"select 1 from pg_subscription where subname = '{NAME}'", database=DATABASE)
            == "1"
        )

    def synchronized(self) -> bool:
        """Whether every table's first copy has been made.

        Raises:
            TerraceError: the slot was lost: the follower lagged by more than the source keeps.
        """
        if self.slot().startswith("lost"):
            raise TerraceError(
                Fault(
                    self.source.name,
                    f"kept {self.keep_mib} MiB for its follower, which lagged by more",
                    "Begin anew: follow; or copy",
                )
            )
        return (
            self.target.sql(
                "select count(*) from pg_subscription_rel where srsubstate <> 'r'", database=DATABASE
            )
            == "0"
        )

    def wait(self, on_step: OnStep) -> None:
        """Until the first copy is whole and what came meanwhile has nearly arrived.

        Raises:
            TerraceError: that did not happen in time, or never will.
        """
        on_step("copying the rows; the application goes on")
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.synchronized() or self.lag_bytes() > NEAR_BYTES:
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault(self.target.name, "does not catch up", "Look at its log; give it up: back")
                )
            time.sleep(0.5)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Nothing is taken up while the block lasts; what is written meanwhile waits on the source.

        Raises:
            TerraceError: the follower does not stop within half a minute.
        """
        self.target.sql(f"alter subscription {NAME} disable", database=DATABASE)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.target.sql(
            f"select 1 from pg_stat_subscription where subname = '{NAME}' and pid is not null limit 1",
            database=DATABASE,
        ):
            if time.monotonic() > deadline:
                raise TerraceError(Fault(self.target.name, "does not stop following", "Begin anew: follow"))
            time.sleep(POLL_SECONDS)
        yield
        self.target.sql(f"alter subscription {NAME} enable", database=DATABASE)

    def lag_bytes(self) -> int:
        """What the target has not confirmed yet, of the write-ahead log."""
        found = self.source.sql(
            "select coalesce(max(pg_current_wal_lsn() - confirmed_flush_lsn), -1)::bigint "
            f"from pg_replication_slots where slot_name = '{NAME}'"
        )
        if (lag := int(found)) < 0:
            raise TerraceError(Fault(self.source.name, "has lost the follower's slot", "Begin anew: follow"))
        return lag

    def slot(self) -> str:
        """State of the slot on the source and what it keeps, in a few words; empty where there is none."""
        return self.source.sql(
            "select coalesce(wal_status, 'unknown') || ', ' || pg_size_pretty(pg_current_wal_lsn() - "
            f"coalesce(restart_lsn, pg_current_wal_lsn())) from pg_replication_slots where slot_name = '{NAME}'"
        )

    def drain(self) -> None:
        """Until the target has everything that the source wrote before this call; nobody may write meanwhile.

        Raises:
            TerraceError: it has not within half a minute.
        """
        end = self.source.sql("select pg_current_wal_lsn()")
        deadline = time.monotonic() + DRAIN_SECONDS
        while (
            self.source.sql(
                f"select confirmed_flush_lsn >= '{end}'::pg_lsn from pg_replication_slots where slot_name = '{NAME}'"
            )
            != "t"
        ):
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault(
                        self.target.name,
                        f"does not reach {end}",
                        "The writer is opened again; look at its log",
                    )
                )
            time.sleep(POLL_SECONDS)

    def set_sequences(self) -> None:
        """Gives every sequence of the target the value of the source's."""
        lines = self.source.sql(
            "select format('select setval(%L, (%s), %L);', format('%I.%I', schemaname, sequencename), "
            "coalesce(last_value, start_value), last_value is not null) from pg_sequences",
            database=DATABASE,
        )
        if lines:
            self.target.sql(f"begin;\n{lines}\ncommit;", database=DATABASE)

    def end(self) -> None:
        """Takes subscription, slot, publication, role and door away; what is not there is fine."""
        if self.stands():
            # With the slot's name set to none it goes also where the source cannot be reached.
            self.target.sql(f"alter subscription {NAME} disable", database=DATABASE)
            self.target.sql(f"alter subscription {NAME} set (slot_name = none)", database=DATABASE)
            self.target.sql(f"drop subscription {NAME}", database=DATABASE)
        if not self.source.is_ours:
            return
        self.source.sql(
            f"""
            select pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null
              and (slot_name = '{NAME}' or slot_name like 'pg\\_%\\_sync\\_%');
            """
        )
        deadline = time.monotonic() + DRAIN_SECONDS
        while self.source.sql(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active and "
            f"(slot_name = '{NAME}' or slot_name like 'pg\\_%\\_sync\\_%'); "
            f"select 1 from pg_replication_slots where slot_name = '{NAME}'"
        ).strip():
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault(self.source.name, f"does not let go of the slot {NAME}", "Run it again")
                )
            time.sleep(0.2)
        if self.source.exists():
            self.source.sql(f"drop publication if exists {NAME}", database=DATABASE)
        self.source.sql(
            f"""
            do $do$ begin if exists (select from pg_roles where rolname = '{ROLE}') then
              revoke pg_read_all_data from {ROLE}; drop role {ROLE}; end if; end $do$;
            """
        )
        self.listener.close()
