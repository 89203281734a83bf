"""The only place for what is counted in a database, to compare what was restored with what was backed up.

Names of tables and columns come from the catalogue, quoted there by `%I` and `quote_ident`.
"""
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Ask = Callable[[str], str]
"""One query, its answer as `psql -XAt` prints it."""

_TABLES = """
select coalesce(json_agg(format('%I.%I', n.nspname, c.relname) order by 1), '[]')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
"""
_COLUMNS = """
select coalesce(json_agg(json_build_array(format('%I.%I', n.nspname, c.relname), quote_ident(a.attname))
                         order by 1), '[]')
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and n.nspname not in ('pg_catalog')
  and
"""


@dataclass(frozen=True, slots=True)
class Census:
    """What a database holds: rows and an order-free checksum by table, extensions by name, its newest row's time.

    `alike` is by `table.column` of type vector how many neighbours a nearest-neighbour query found (5 at most);
    `uploads` the keys that columns named upload_key name; `newest` is ISO 8601 or None.
    """

    tables: Mapping[str, tuple[int, str]]
    extensions: Mapping[str, str]
    alike: Mapping[str, int]
    uploads: tuple[str, ...]
    newest: str | None

    def dumps(self) -> str:
        """As JSON, without the uploads' keys, which are as many as there are receipts."""
        return json.dumps({**asdict(self), "uploads": len(self.uploads)}, indent=2) + "\n"


def take(ask: Ask) -> Census:
    """Counts; the tables in one statement, hence as of one moment."""
    tables: list[str] = json.loads(ask(_TABLES))
    counted: dict[str, tuple[int, str]] = {}
    if tables:
        each = " union all ".join(
            f"select '{_quoted(name)}' t, count(*) n, "
            "coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text c "
            f"from {name} r"
            for name in tables
        )
        counted = {
            t: (n, c)
            for t, n, c in json.loads(ask(f"select json_agg(json_build_array(t, n, c)) from ({each}) x"))
        }
    extensions = json.loads(ask("select json_object_agg(extname, extversion) from pg_extension"))
    alike = {}
    if "vector" in extensions:
        for table, column in json.loads(ask(f"{_COLUMNS} a.atttypid = 'vector'::regtype")):
            near = (
                f"select count(*) from (select 1 from {table} order by {column} <=> "
                f"(select {column} from {table} where {column} is not null limit 1) limit 5) x"
            )
            alike[f"{table}.{column}"] = int(ask(near))
    uploads: list[str] = []
    for table, column in json.loads(ask(f"{_COLUMNS} a.attname = 'upload_key'")):
        uploads += json.loads(
            ask(f"select coalesce(json_agg(distinct {column}), '[]') from {table} where {column} is not null")
        )
    newest = [
        ask(f"select to_json(max({column})) #>> '{{}}' from {table}")
        for table, column in json.loads(
            ask(f"{_COLUMNS} a.attname = 'created_at' and a.atttypid = 'timestamptz'::regtype")
        )
    ]
    return Census(
        counted, extensions, alike, tuple(sorted(set(uploads))), max(filter(None, newest), default=None)
    )


def faults(before: Mapping[str, Any] | None, now: Census) -> list[str]:
    """What is wrong with a restored database, in sentences: by itself, and against an earlier census if there is one.

    A later state may have more or fewer rows, but no table may be gone and none that held rows may be empty.
    """
    wrong = []
    if not now.tables:
        wrong.append("there is no table in it")
    for column, found in now.alike.items():
        table = column.rpartition(".")[0]
        if now.tables.get(table, (0, ""))[0] and not found:
            wrong.append(f"a nearest-neighbour query over {column} finds nothing")
    for table, (rows, _) in (before or {}).get("tables", {}).items():
        if table not in now.tables:
            wrong.append(f"table {table} is missing; it held {rows} rows at the backup")
        elif rows and not now.tables[table][0]:
            wrong.append(f"table {table} is empty; it held {rows} rows at the backup")
    for name, version in (before or {}).get("extensions", {}).items():
        if name not in now.extensions:
            wrong.append(f"extension {name} {version} is missing")
    return wrong


def _quoted(text: str) -> str:
    return text.replace("'", "''")
