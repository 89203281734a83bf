"""Runs in a box: a table is read, changed in one way after another, and its checksum told by the first reading."""

import json
import sys

from infra.host.box.data import compare, sums
from infra.host.box.data.ends import DATABASE, End

CHANGES = {
    "nothing": "select 1",
    "rows that came": "insert into t select i, repeat('n', 900) from generate_series(20001, 21500) i",
    "rows that changed": "update t set said = 'z' where id % 1000 = 7",
    "rows that went": "delete from t where id between 100 and 110",
    "places that are used again": "vacuum t; insert into t select -i, repeat('y', 900) from generate_series(1, 50) i",
    "a change that was taken back": "begin; delete from t where id = 5000; rollback; vacuum freeze t",
    "a table that was written anew": "delete from t where id % 2 = 0; vacuum full t",
    "as many rows that went as came": "delete from t where id = 301; insert into t values (30001, repeat('m', 900))",
    "a table that was emptied": "truncate t",
}


def main() -> None:
    """Prints what was told wrongly."""
    end = End("box", ("-p", "5432"), is_ours=True)
    end.sql(
        "drop table if exists t; create table t (id int primary key, said text); "
        "insert into t select i, repeat(md5(i::text), 28) from generate_series(1, 20000) i",
        database=DATABASE,
    )
    names = ["public.t"]
    wrong, seen = [], set()
    for what, change in CHANGES.items():
        known = sums.learn(end, names)
        end.sql(change, database=DATABASE)
        told, read = sums.read(end, names, known), sums.read(end, names)
        seen.add(read["public.t"])
        if told != read:
            wrong.append(what)
    end.sql("drop table t", database=DATABASE)
    assert compare.census(end).tables.keys() >= {"public.receipts"}
    json.dump({"wrong": wrong, "different": len(seen)}, sys.stdout)


main()
