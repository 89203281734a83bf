"""A first boot whose bundle's bucket is away for two minutes, and first boots whose power is cut at every step.

A box of its own for each test: `make matrix` deals them to two processes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bench.figures import note
from bench.served import Served
from infra.core.memory import budget
from infra.host.box.install import Install
from tests.boxes.conftest import pytest_runtest_setup  # noqa: F401 the same rule for skips
from tests.boxes_host.support import (
    bootstrap,
    cut_at,
    ends_well,
    plant,
    published,
    reached,
    until,
    wish,
    without_a_bundle,
)

pytestmark = [pytest.mark.box, pytest.mark.drill, pytest.mark.matrix]

AWAY_SECONDS = 120
STEPS = tuple(Install({}, budget("single", 8192)).steps())
HALF = len(STEPS) // 2
AMID, AT_ITS_END = 2, 0


@pytest.fixture
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A box whose bundle's bucket does not answer, and whose fetch.py is stopped where it has unpacked the bundle."""
    with without_a_bundle(tmp_path_factory.mktemp("steps")) as made:
        # Its packages are there once it asks: what it starts before that is not counted in the next run.
        until(lambda: asked(made) > 0, box=made)
        plant(made)
        wish(made, "fetch", 2)
        made.sh("systemctl restart --no-block terrace-host")
        before = asked(made)
        until(lambda: asked(made) > before + 2, box=made)
        yield made


def asked(box: Served) -> int:
    """How often the bucket did not answer."""
    (told,) = box.cloud.api.faults.standing()
    return told.hit


def comes_back(box: Served) -> None:
    """The bucket answers; the bundle is unpacked, and its renaming is what the power will be cut in."""
    box.cloud.api.faults.clear()
    until(lambda: reached(box), box=box)


def cut_in(box: Served, step: str, at: int) -> None:
    """The power is cut where the installer stands, and it runs until it stands at the next point."""
    began = time.monotonic()
    cut_at(box, step, at)
    note(f"{step}, {at or 'its end'}: {time.monotonic() - began:.1f} s after the cut before it")


def test_two_minutes_without_the_bucket_fail_nothing_and_a_cut_at_each_file_of_the_bundle_neither(
    box: Served,
) -> None:
    time.sleep(AWAY_SECONDS)
    assert not reached(box)
    comes_back(box)
    assert (bootstrap(box), box.sh("systemctl show -P NRestarts terrace-host")) == ({}, "0")
    assert "bootstrap_failed" not in published(box)
    for at in (3, 4):  # the facts, the link
        cut_in(box, "fetch", at)
    ends_well(box)


@pytest.mark.parametrize("steps", [STEPS[:HALF], STEPS[HALF:]], ids=["first-half", "second-half"])
def test_a_power_cut_amid_every_step_and_at_its_end_ends_well(box: Served, steps: tuple[str, ...]) -> None:
    comes_back(box)
    for step in steps:
        for at in (AMID, AT_ITS_END):
            cut_in(box, step, at)
    ends_well(box)
