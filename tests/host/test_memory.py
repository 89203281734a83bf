"""Who may have how much memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.core.errors import TerraceError
from infra.core.instances import INSTANCE_TYPES
from infra.core.memory import MIGRATION_MIB, BoxRole, Part, budget, table


def test_eight_gigabytes_are_shared_as_the_document_has_it() -> None:
    made = budget("single", 8192)
    assert dict(made.rows()) == {
        "PostgreSQL": 2048, "backend": 1536, "frontend": 717, "Nginx": 154, "system": 1024,
    }  # fmt: skip
    assert f"{made.used_mib / 1024:.2f}" == "5.35"
    assert made.database is not None
    assert (made.database.shared_buffers_mib, made.database.max_connections) == (512, 60)
    assert made.backend is not None
    assert made.backend.heap_mib == 1024
    assert "used" in table(made)
    assert made.free_mib == 2201


def test_one_more_backend_fits_in_eight_gigabytes_and_two_colours_only_in_sixteen() -> None:
    small, large = budget("single", 8192), budget("single", 16384)
    assert (small.side_by_side("backend"), small.both_colours) == (2, False)
    assert large.both_colours


def test_four_gigabytes_are_too_few_for_everything_and_the_refusal_says_how_many() -> None:
    with pytest.raises(TerraceError, match=r"5735 MiB, and it has 4096 MiB: 1639 MiB short"):
        budget("single", 4096)


@pytest.mark.parametrize("role", ["frontend", "backend"])
def test_a_part_alone_fits_in_two_gigabytes(role: Part) -> None:
    made = budget(role, 2048)
    assert made.side_by_side(role) == 1
    assert made.side_by_side("backend" if role == "frontend" else "frontend") == 0


def test_a_backends_own_box_has_room_for_migrations_at_2_gb_and_for_a_second_jvm_at_3_gb() -> None:
    small, medium = budget("backend", 2048), budget("backend", 3072)
    assert small.side_by_side("backend") == 1
    assert small.fits(MIGRATION_MIB)
    assert medium.side_by_side("backend") == 2


def test_what_docs_deploys_says_of_memory_is_what_the_budgets_say() -> None:
    said = (Path(__file__).parents[2] / "docs" / "deploys.md").read_text(encoding="utf-8")
    sizes = sorted({each.memory_gib for each in INSTANCE_TYPES.values()})
    own = next(gib for gib in range(2, 64) if budget("backend", gib * 1024).side_by_side("backend") > 1)
    assert re.findall(r"room for a second JVM from (\d+) GB on", said) == [str(own)]
    assert re.findall(r"on (\d+) GB `rolling`\s+is refused", said) == [
        str(max(gib for gib in sizes if gib < own))
    ]
    single = budget("single", 8192)
    assert single.backend is not None
    assert single.frontend is not None
    colours = next(gib for gib in sizes if gib >= 8 and budget("single", gib * 1024).both_colours)
    both = single.backend.expected_mib + single.frontend.expected_mib
    assert re.findall(r"\| (\d+) MiB \|", said) == [str(single.backend.expected_mib)]
    assert re.findall(r"\| (\d+) MiB: a box of (\d+) GB", said) == [(str(both), str(colours))]


@pytest.mark.parametrize("role", ["single", "frontend", "backend"])
@pytest.mark.parametrize("worker", [False, True])
def test_no_budget_promises_more_than_there_is_and_more_memory_never_takes_a_share_away(
    role: BoxRole, worker: bool
) -> None:
    before: dict[str, int] = {}
    for ram in range(1024, 65537, 256):
        try:
            made = budget(role, ram, worker=worker)
        except TerraceError:
            assert not before, "what fitted in less does not fit in more"
            continue
        rows = dict(made.rows())
        assert sum(rows.values()) + made.reserve_mib + made.free_mib == ram
        assert all(rows[name] >= mib for name, mib in before.items())
        if made.database is not None:
            taken = made.database.max_connections * made.database.work_mem_mib
            assert taken + made.database.shared_buffers_mib < made.database.expected_mib * 1.25
        if made.backend is not None:
            assert made.backend.heap_mib < made.backend.expected_mib < made.backend.limit_mib
        before = rows
    assert before
