"""The only place for the checksums of rows, and for what of them is still known a little later.

Reading every row of a large table takes longer than a service may wait. So a followed copy is read before the fence,
and behind it only what changed: rows never change in place (PostgreSQL documentation, "Concurrency Control:
Introduction"; an update writes another row), so of the rows that are older than the first reading some may be gone,
and none may have come. Where as many of them are left in a stretch of a table as were read there, they are the same
rows; else that stretch is read again. Younger rows are read in any case.
"""

# ruff: noqa: S608 - the names in queries are quoted by format() on the server, the rest are numbers

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.host.box.data.ends import DATABASE, End

PAGES = 128
"""How many pages of a table are one stretch: 1 MiB. A row that went lets so much be read again."""

# Sums of bigint are kept in 128 bits and end as numeric: they do not overflow.
_HASHED = ", ".join(f"coalesce(sum(hashtextextended(x, {seed})), 0)" for seed in (0, 1))
_MASK = 2**64 - 1

Part = tuple[int, int, int]
"""Rows, and two sums of 64-bit hashes of each row's text: they do not depend on order, and add up."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the rows of one table came to that are older than `horizon`, by the first page of a stretch."""

    file: str
    """A table that is written anew (vacuum full, truncate) has another, and its rows other places."""
    horizon: int
    """Every transaction before it had ended (pg_snapshot_xmin)."""
    parts: Mapping[int, Part]


@dataclass(frozen=True, slots=True)
class Rows:
    """Of one table."""

    count: int
    checksum: str


def read(end: End, tables: Sequence[str], known: Mapping[str, Known] | None = None) -> dict[str, Rows]:
    """What all rows of those tables come to. Nothing may write meanwhile.

    What is `known` of a table is not read again where it still holds.
    """
    known = known or {}
    files = _files(end, [name for name in tables if name in known])
    usable = {name: known[name] for name, file in files.items() if known[name].file == file}
    whole = [name for name in tables if name not in usable]
    asked = [f"select q.* from {_summed(name)} q" for name in whole]
    found = {name: _part(line) for name, line in zip(whole, together(end, asked), strict=True)}
    found |= {name: _since(end, name, each) for name, each in usable.items()}
    return {
        name: Rows(count, "".join(f"{each & _MASK:016x}" for each in sums))
        for name, (count, *sums) in found.items()
    }


def learn(end: End, tables: Sequence[str]) -> dict[str, Known]:
    """Reads every row that is there for good; the application may write meanwhile."""
    files = _files(end, tables)
    known = {}
    for name, file in files.items():
        horizon = int(end.sql("select pg_snapshot_xmin(pg_current_snapshot())", database=DATABASE))
        lines = _stretches(end, name, _summed(name, f"{_IN_STRETCH} and {_older(horizon)}"))
        known[name] = Known(file, horizon, {int(first): _part(rest) for first, *rest in lines})
    return known


def together(end: End, queries: Sequence[str]) -> list[list[str]]:
    """One row of each query, asked at once."""
    said = end.sql(";\n".join(queries), database=DATABASE) if queries else ""
    return [line.split("|") for line in said.splitlines()]


def _since(end: End, table: str, known: Known) -> Part:
    """What a table comes to whose older rows were read before."""
    # One look at each row: of the old ones nothing is read but when they were written.
    look = (
        f"(select count(*) n, array_agg(t::text) filter (where not {_older(known.horizon)}) young "
        f"from {table} t where {_IN_STRETCH}) l"
    )
    summed = f"(select count(*), {_HASHED} from unnest(young) x) s"
    lines = _stretches(
        end, table, f"(select n - coalesce(cardinality(young), 0), s.* from {look}, lateral {summed})"
    )
    total = [0, 0, 0]
    again = []
    for first, left, *rest in lines:
        part = known.parts.get(int(first), (0, 0, 0))
        if int(left) == part[0]:
            _add(total, part)
        else:
            again.append(first)
        _add(total, _part(rest))
    if again:
        look = _summed(table, f"{_IN_STRETCH} and {_older(known.horizon)}")
        for _, *rest in _stretches(end, table, look, firsts=again):
            _add(total, _part(rest))
    return total[0], total[1], total[2]


_IN_STRETCH = f"ctid >= format('(%s,0)', first)::tid and ctid < format('(%s,0)', first + {PAGES})::tid"


def _stretches(end: End, table: str, look: str, *, firsts: Collection[str] = ()) -> list[list[str]]:
    """A row for each stretch of a table that has pages: its first page, and what a look at it tells."""
    named = f"where first in ({', '.join(firsts)})" if firsts else ""
    said = end.sql(
        f"select first, r.* from generate_series(0, pg_relation_size('{_quoted(table)}') "
        f"/ current_setting('block_size')::int, {PAGES}) first, lateral {look} r {named}",
        database=DATABASE,
    )
    return [line.split("|") for line in said.splitlines()]


def _summed(table: str, where: str = "true") -> str:
    """Count and sums of a table's rows; the offset keeps a row's text from being made for each sum."""
    return f"(select count(*), {_HASHED} from (select t::text x from {table} t where {where} offset 0) o)"


def _older(horizon: int) -> str:
    """Rows of transactions before that one; age() compares as PostgreSQL does, round its 32-bit circle."""
    return f"(age(t.xmin) > (select age('{horizon % 2**32}'::xid)))"


def _files(end: End, tables: Sequence[str]) -> dict[str, str]:
    """The file that each table's rows are in."""
    asked = [f"select pg_relation_filenode('{_quoted(name)}')" for name in tables]
    return {name: file for name, (file,) in zip(tables, together(end, asked), strict=True)}


def _quoted(name: str) -> str:
    return name.replace("'", "''")


def _part(line: Iterable[Any]) -> Part:
    count, one, other = (int(each) for each in line)
    return count, one, other


def _add(total: list[int], part: Part) -> None:
    for place, each in enumerate(part):
        total[place] += each
