"""What the controller tells alarms: every figure under its name, once, and what reaches a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from embedded.runpod.faults import FaultName
from infra.core import metrics
from infra.core.gpu.decide import Finding
from infra.core.thresholds import TABLE
from infra.host.box.gpu.inferences import Inferences

from .desk import Board, Desk, desk


def test_every_figure_that_an_alarm_of_the_gpu_reads_is_told_under_the_alarms_own_name(auto: Desk) -> None:
    board = Board([])
    auto.controller.metrics = board
    auto.controller.clients = Inferences((log := auto.controller.journal.path.with_name("backend.log"),))
    auto.rounds(2)
    auto.send(3)
    now = datetime.fromtimestamp(auto.bench.double.world.now + 30, UTC).isoformat()
    log.write_text(json.dumps({"inference": {"at": now, "wait_seconds": 1.5, "run_seconds": 4}}) + "\n")
    auto.rounds(1)
    read = {row.metric.name for row in TABLE if row.key.startswith(("llm-", "gpu-"))}
    read |= {row.ratio_of.name for row in TABLE if row.ratio_of is not None and row.key.startswith("llm-")}
    assert read <= set(board.told[-1])
    assert set(board.told[-1]) == {each.name for each in metrics.GPU_METRICS}
    assert board.told[-1]["llm_requests"] == [3.0]
    assert board.told[-1]["llm_seconds"] == [5.5]
    auto.rounds(1)
    assert board.told[-1]["llm_requests"] == [0.0]
    assert "llm_seconds" not in board.told[-1]


def test_failed_jobs_are_told_once(auto: Desk) -> None:
    auto.controller.metrics = board = Board([])
    auto.send(1)
    auto.rounds(3)
    auto.bench.double.habits.answer = lambda _: (None, "worker_error")
    auto.send(2)
    auto.rounds(5)
    assert sum(each["llm_failed"][0] for each in board.told) == 2


def test_figures_that_cannot_be_told_do_not_end_a_round(auto: Desk) -> None:
    auto.controller.metrics = Board([], fails=True)
    assert auto.rounds(1)[0].decision is not None
    assert "CloudWatch" in auto.controller.journal.read()[-1]["why"]


def test_a_controller_that_cannot_see_says_so(auto: Desk) -> None:
    auto.controller.metrics = board = Board([])
    auto.bench.double.faults.plan(FaultName.SERVER_ERROR, times=1)
    auto.rounds(2)
    assert [each["gpu_controller_blind"] for each in board.told] == [[1.0], [0.0]]


@dataclass
class Alarm:
    """Whether the alarm would speak: every value of so many minutes above its bound."""

    board: Board

    @property
    def speaks(self) -> bool:
        (row,) = (each for each in TABLE if each.key == "gpu-findings")
        (level,) = row.levels
        assert (row.metric, row.statistic) == (metrics.GPU_FINDINGS, "Minimum")
        assert isinstance(level.value, Decimal)
        minutes = row.period_seconds // 60 * level.periods
        told = [each["gpu_findings"][0] for each in self.board.told if "gpu_findings" in each][-minutes:]
        return len(told) == minutes and min(told) > level.value


def test_a_crash_loop_a_bad_image_and_no_stock_reach_a_person(tmp_path: Path) -> None:
    def crash(made: Desk) -> None:
        made.platform.crashing = True

    def bad_image(made: Desk) -> None:
        made.bench.double.habits.bad_images.add(made.platform.body["image"])

    def no_stock(made: Desk) -> None:
        made.bench.double.habits.stock["NVIDIA L4"] = "NONE"

    for index, (befalls, found) in enumerate(
        ((crash, Finding.CRASH_LOOP), (bad_image, Finding.CRASH_LOOP), (no_stock, Finding.NO_STOCK))
    ):
        made = desk(tmp_path / str(index))
        made.controller.metrics = board = Board([])
        alarm = Alarm(board)
        made.rounds(15)
        assert not alarm.speaks
        befalls(made)
        made.send(2)
        rounds = made.rounds(40)
        assert any(each.decision and found in each.decision.findings for each in rounds)
        assert alarm.speaks
        assert made.controller.store.load()[0].why


def test_an_engine_that_dies_once_is_thrown_away_without_a_call_and_the_third_time_somebody_is_called(
    auto: Desk,
) -> None:
    auto.controller.metrics = board = Board([])
    endpoint = auto.platform
    auto.rounds(12)
    endpoint.dead_engines = True
    spoke = []
    for _ in range(30):
        auto.send(4)
        auto.rounds(1)
        spoke.append(Alarm(board).speaks)
    assert not any(spoke[:5])
    assert spoke[-1]
    assert auto.live.most == 0
