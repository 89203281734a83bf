"""The only place for what makes two databases the same: read on each side, compared as plain values."""

# ruff: noqa: S608 - the names in queries are constants of ours, or quoted by format() on the server

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.host.box.data import sums
from infra.host.box.data.ends import DATABASE, End
from infra.host.box.data.sums import Known

LARGE_BYTES = 64 * 1024**2
OURS = "not in ('pg_catalog', 'information_schema')"
UNMOVED = ("--no-publications", "--no-subscriptions")
"""What of a database belongs to the move itself; a subscription's definition holds a password."""
NEAREST = 10
"""How many neighbours a vector query asks for."""
SHOWN_LINES = 5
_TABLES = "relkind in ('r', 'm')"

_UNSAID = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict |COMMENT ON EXTENSION|\s*$)")


@dataclass(frozen=True, slots=True)
class Census:
    """What a database holds."""

    schema: tuple[str, ...]
    tables: Mapping[str, tuple[int, str]]
    """Rows and checksum by table."""
    sequences: Mapping[str, str]
    extensions: Mapping[str, str]
    vectors: Mapping[str, str]
    """Distances to the nearest neighbours, by column."""
    large_objects: int


def version(text: str) -> tuple[int, ...]:
    """The numbers of an extension's version, for comparing."""
    return tuple(int(each) for each in re.findall(r"\d+", text))


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was read of a database while it was written to; it shortens a census behind the fence."""

    rows: Mapping[str, Known]
    vectors_asked: frozenset[str]
    """Large tables whose vector query was asked then: exactly, it reads every row."""


def learn(end: End) -> Learnt:
    """Reads the rows of every table, and asks the vector queries of the large ones.

    Raises:
        TerraceError: a vector query cannot be answered.
    """
    large = frozenset(_names(end, f"{_TABLES} and pg_table_size(c.oid) > {LARGE_BYTES}"))
    for table, column, key in _vectors(end):
        if table in large:
            _nearest(end, table, column, key)
    return Learnt(sums.learn(end, _names(end, _TABLES)), large)


def census(end: End, learnt: Learnt | None = None) -> Census:
    """Reads it all, but for what was `learnt` and still holds; nothing may write meanwhile."""
    known, asked = (learnt.rows, learnt.vectors_asked) if learnt else ({}, frozenset())
    with ThreadPoolExecutor(1) as pool:
        schema = pool.submit(_schema, end)
        tables = sums.read(end, _names(end, _TABLES), known)
        return Census(
            schema=schema.result(),
            tables={name: (found.count, found.checksum) for name, found in tables.items()},
            sequences=_sequences(end, _names(end, "relkind = 'S'")),
            extensions=extensions(end),
            vectors={
                f"{table}.{column}": _nearest(end, table, column, key)
                for table, column, key in _vectors(end)
                if table not in asked
            },
            large_objects=int(end.sql("select count(*) from pg_largeobject_metadata", database=DATABASE)),
        )


def _schema(end: End) -> tuple[str, ...]:
    said = end.run(["pg_dump", "--schema-only", "--no-owner", "--no-privileges", *UNMOVED, "-d", DATABASE])
    return tuple(line for line in said.splitlines() if not _UNSAID.match(line))


def extensions(end: End) -> dict[str, str]:
    """Installed extensions with their versions."""
    return _pairs(end, "select extname, extversion from pg_extension where extname <> 'plpgsql'")


def available(end: End) -> dict[str, str]:
    """Extensions that could be made, with the version that would come; asked of any database."""
    return _pairs(end, "select name, default_version from pg_available_extensions", database="postgres")


def differences(source: Census, target: Census) -> list[str]:
    """Sentences about everything in which the target is not the source; none when it is the same."""
    return [
        *_schemas(source.schema, target.schema),
        *_maps("table", source.tables, target.tables, lambda each: f"{each[0]} rows, checksum {each[1]}"),
        *_maps("sequence", source.sequences, target.sequences, str),
        *_maps("vector query on", source.vectors, target.vectors, str),
        *(
            f"extension {name} is {target.extensions.get(name, 'missing')}, the source has {found}"
            for name, found in source.extensions.items()
            if version(target.extensions.get(name, "")) < version(found)
        ),
        *(
            [f"large objects: {target.large_objects}, the source has {source.large_objects}"]
            if source.large_objects != target.large_objects
            else []
        ),
    ]


def _schemas(source: tuple[str, ...], target: tuple[str, ...]) -> Iterator[str]:
    lacks = [line for line in source if line not in set(target)][:SHOWN_LINES]
    has = [line for line in target if line not in set(source)][:SHOWN_LINES]
    yield from (f"schema lacks: {line.strip()}" for line in lacks)
    yield from (f"schema has besides: {line.strip()}" for line in has)


def _maps(what: str, source: Mapping[str, Any], target: Mapping[str, Any], say: Any) -> Iterator[str]:
    for name in sorted({*source, *target}):
        one, other = source.get(name), target.get(name)
        if one != other:
            yield (
                f"{what} {name}: {say(other) if other is not None else 'missing'}, "
                f"the source has {say(one) if one is not None else 'none'}"
            )


def _pairs(end: End, query: str, *, database: str = DATABASE) -> dict[str, str]:
    found = end.sql(
        f"select coalesce(json_object_agg(a, b), '{{}}') from ({query}) q(a, b)", database=database
    )
    values: dict[str, str] = json.loads(found)
    return values


def _names(end: End, condition: str) -> list[str]:
    found = end.sql(
        "select coalesce(json_agg(n order by n), '[]') from (select format('%I.%I', nspname, relname) n "
        "from pg_class c join pg_namespace s on s.oid = relnamespace "
        f"where {condition} and nspname {OURS} and nspname not like 'pg_%'"
        "  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')) q",
        database=DATABASE,
    )
    names: list[str] = json.loads(found)
    return names


def _sequences(end: End, names: Sequence[str]) -> dict[str, str]:
    found = sums.together(end, [f"select last_value, is_called from {name}" for name in names])
    return {name: " ".join(each) for name, each in zip(names, found, strict=True)}


def _vectors(end: End) -> list[tuple[str, str, str]]:
    """Table, column, and what its rows are put in order by: the primary key, where there is one."""
    found = end.sql(
        "select coalesce(json_agg(json_build_array(format('%I.%I', nspname, relname), quote_ident(attname), "
        "coalesce(key, quote_ident(attname) || '::text'))), '[]') from (select nspname, relname, attname, "
        "(select string_agg(quote_ident(k.attname), ', ' order by place) from pg_index i, "
        "unnest(i.indkey) with ordinality u(number, place) join pg_attribute k on k.attnum = u.number "
        "where i.indrelid = c.oid and i.indisprimary and k.attrelid = c.oid) key from pg_attribute a "
        "join pg_class c on c.oid = attrelid join pg_namespace s on s.oid = relnamespace "
        f"join pg_type t on t.oid = atttypid where typname = 'vector' and relkind = 'r' and nspname {OURS} "
        "order by 1, 2, 3) q",
        database=DATABASE,
    )
    return [(table, column, key) for table, column, key in json.loads(found)]


def _nearest(end: End, table: str, column: str, key: str) -> str:
    """Distances to the nearest neighbours of one row, read without an index: those of vectors answer approximately.

    Rounded: the last bits of a distance may differ between processors.
    """
    return end.sql(
        "begin; set local enable_indexscan = off; "
        f"with asked as (select {column} v from {table} where {column} is not null order by {key} limit 1) "
        f"select string_agg(round(d::numeric, 5)::text, ' ' order by d) from (select {column} <-> v d "
        f"from {table}, asked where {column} is not null order by {column} <-> v limit {NEAREST}) q; commit;",
        database=DATABASE,
    )
