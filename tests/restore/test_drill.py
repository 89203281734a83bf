"""The way of a drill: whatever breaks where, the scratch stack goes, and the result is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.core.errors import Fault, TerraceError
from infra.core.metrics import Metric
from ops import restore
from ops.restore import Drills, Ran, Source

NOW = datetime(2026, 11, 21, 5, 15, tzinfo=UTC)
SOURCE = Source("dev", "vpc", "subnet", "key", "backups", "uploads", "artifacts", "i-source")
PROOF = {"tables": {"public.receipts": [3, "7"]}, "newest_row_age_seconds": 41.5, "faults": [], "uploads": 1}


@dataclass
class Fake:
    """Every port at once; `breaks` names the call that raises, `with_` what it raises."""

    breaks: str = ""
    with_: BaseException = field(default_factory=lambda: TerraceError(Fault("x", "broke", "y")))
    answer: Ran = field(default_factory=lambda: Ran(0, json.dumps({"backup": "L1", "proof": PROOF}), ""))
    standing: set[str] = field(default_factory=set)
    published: dict[str, float] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def _may_break(self, call: str) -> None:
        if self.breaks == call:
            raise self.with_

    def put(self, bucket: str) -> tuple[str, str]:
        self._may_break("put")
        return "host/kit.tar", "0" * 64

    def make(self, name: str, drill: Mapping[str, str]) -> str:
        self.standing.add(name)
        self.told = dict(drill)
        self._may_break("make")
        return "i-scratch"

    def destroy(self, name: str) -> None:
        self._may_break("destroy")
        self.standing.discard(name)

    def names(self) -> Sequence[str]:
        return sorted(self.standing)

    def wait_until(self, instance_id: str, script: str, *, seconds: float) -> None:
        self._may_break("wait")

    def run(self, instance_id: str, script: str, *, seconds: float) -> Ran:
        self.lines.append(script)
        self._may_break("run")
        return self.answer

    def publish(self, stack: str, values: Mapping[Metric, float]) -> None:
        self.published.update({metric.name: value for metric, value in values.items()})

    @property
    def drills(self) -> Drills:
        return Drills(self, self, self, self)


def test_a_drill_tells_what_it_measured_and_leaves_nothing() -> None:
    fake = Fake()
    report = fake.drills.drill(SOURCE, now=NOW, wish=["--time", "2026-11-21T05:00Z"])
    assert fake.standing == set()
    assert fake.lines == ["terrace-restore --prove --time 2026-11-21T05:00Z"]
    assert (report.faults, report.newest_row_age_seconds, report.backup) == ((), 41.5, "L1")
    assert set(fake.published) == {"restore_drill_failed", "restore_seconds", "restored_row_age_seconds"}
    assert fake.published["restore_drill_failed"] == 0.0
    assert fake.told["expires"] == "2026-11-21T17:15Z"
    assert json.dumps(report.as_values())


def test_what_the_scratch_stack_is_told_is_what_the_settings_take() -> None:
    from infra.settings import Drill

    fake = Fake()
    fake.drills.drill(SOURCE, now=NOW)
    assert Drill.model_validate(fake.told).source == "dev"


def test_faults_of_the_proof_are_the_drills_and_its_metric() -> None:
    proof = {**PROOF, "faults": ["table public.receipts is empty"]}
    fake = Fake(answer=Ran(1, json.dumps({"backup": "L1", "proof": proof}), ""))
    report = fake.drills.drill(SOURCE, now=NOW)
    assert report.faults == ("table public.receipts is empty",)
    assert fake.published["restore_drill_failed"] == 1.0
    assert fake.standing == set()


@pytest.mark.parametrize("call", ["put", "make", "wait", "run"])
@pytest.mark.parametrize(
    "error", [TerraceError(Fault("x", "broke", "y")), KeyboardInterrupt()], ids=["fault", "ctrl-c"]
)
def test_the_scratch_stack_goes_wherever_it_breaks(call: str, error: BaseException) -> None:
    fake = Fake(breaks=call, with_=error)
    with pytest.raises(type(error)):
        fake.drills.drill(SOURCE, now=NOW)
    assert fake.standing == set()
    failed = fake.published.get("restore_drill_failed")
    assert failed == (1.0 if isinstance(error, TerraceError) else None)


def test_a_stack_that_cannot_be_destroyed_is_named_with_the_remedy() -> None:
    fake = Fake(breaks="destroy")
    with pytest.raises(TerraceError, match="sweep --all") as refused:
        fake.drills.drill(SOURCE, now=NOW)
    assert "drill-20261121-0515" in str(refused.value)


def test_a_kept_stack_stays_and_says_how_it_ends() -> None:
    fake, said = Fake(), []
    fake.drills.drill(SOURCE, now=NOW, keep=True, on_step=said.append)
    assert fake.standing == {"drill-20261121-0515"}
    assert "sweep" in said[-1]


@pytest.mark.parametrize(
    "answer",
    [Ran(1, "", "drill  lies in a gap"), Ran(0, "not json", ""), Ran(2, "{}", "usage"), Ran(1, "[]", "")],
)
def test_an_answer_that_is_no_result_is_a_failure_with_its_words(answer: Ran) -> None:
    fake = Fake(answer=answer)
    with pytest.raises(TerraceError, match="terrace-restore"):
        fake.drills.drill(SOURCE, now=NOW)
    assert fake.standing == set()


def test_the_sweep_takes_what_is_over_and_leaves_the_rest() -> None:
    fake = Fake(standing={"drill-20261120-0515", "drill-20261121-0500", "drill-of-somebody"})
    assert fake.drills.sweep(now=NOW) == ["drill-20261120-0515"]
    assert fake.standing == {"drill-20261121-0500", "drill-of-somebody"}
    assert fake.drills.sweep(now=NOW) == []
    assert fake.drills.sweep(now=NOW, everything=True) == ["drill-20261121-0500", "drill-of-somebody"]


def test_a_sweep_goes_on_past_a_stack_that_resists() -> None:
    class Resisting(Fake):
        def destroy(self, name: str) -> None:
            if name.endswith("0500"):
                raise TerraceError(Fault(name, "resists", "Look"))
            super().destroy(name)

    fake = Resisting(standing={"drill-20261119-0500", "drill-20261119-0600"})
    with pytest.raises(TerraceError, match="0600") as refused:
        fake.drills.sweep(now=NOW)
    assert "resists" in str(refused.value)
    assert fake.standing == {"drill-20261119-0500"}


def test_a_scratch_stacks_name_says_when_it_expires() -> None:
    assert restore.expires(restore.name_of(NOW)) == NOW + timedelta(hours=restore.LIFETIME_HOURS)


@pytest.mark.parametrize("outputs", [{}, {"vpc_id": "v"}])
def test_a_source_that_does_not_stand_is_refused(outputs: dict[str, Any]) -> None:
    with pytest.raises(TerraceError, match="pulumi up"):
        restore.source_of("dev", outputs, "ap-northeast-2a")
