"""What is asked of the boxes, in which order, and what happens to all where one fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.release import CURRENT_KEY, Strategy
from ops import deploy
from ops.deploy import Asked, Box, Ended, Patience
from tests.deploy.test_release import Bucket

BACKEND, FRONTEND = Box("backend", "i-1"), Box("frontend", "i-2")


class Pretended:
    """Boxes that say what they are told to; `asked` is every command that changes something."""

    def __init__(self, **endings: Ended) -> None:
        self._endings = endings
        self.asked: list[tuple[str, str]] = []
        self.argv: list[list[str]] = []
        self._polls = 0

    def begin(self, box: Box, argv: Sequence[str]) -> str:
        self.argv.append(list(argv))
        what = " ".join(argv[1:3]) if argv[1] == "release" else argv[1]
        self.asked.append((box.role, what))
        self._polls = 0
        return f"{box.role} {argv[1]}"

    def ended(self, box: Box, command: str) -> Ended | None:
        self._polls += 1
        if self._polls < 3:
            return None
        return self._endings.get(command.replace(" ", "_")) or released("v2")

    def run(self, box: Box, argv: Sequence[str]) -> Ended:
        assert argv[1] == "events"
        after = int(argv[argv.index("--after") + 1])
        fresh = [number for number in (1, 2, 3) if number > after][:1]
        lines = [{"number": number, "step": "soak", "what": "…", "seconds": 1.0} for number in fresh]
        return Ended(0, "".join(json.dumps(line) + "\n" for line in lines), "")


def released(version: str, **changes: Any) -> Ended:
    outcome = {
        "result": "released", "version": version, "previous": "v1", "seconds": 1.0, "downtime_seconds": 0.0,
        "reason": "", "changed": True, **changes,
    }  # fmt: skip
    return Ended(0 if outcome["result"] == "released" else 1, json.dumps(outcome), "")


FAILED = released("v2", result="rolled back", reason="backend on 8081 ended by itself.")


def go(
    boxes: Pretended, *among: Box, version: str = "v2", bucket: Bucket | None = None
) -> list[dict[str, Any]]:
    events: list[Mapping[str, Any]] = []
    asked = Asked(version, Strategy.ROLLING, "kim", "it is time", Patience(soak_seconds=3))
    found = deploy.deploy(boxes, bucket or Bucket(), among, asked, lambda _, event: events.append(event))
    assert [event["number"] for event in events] == [1, 2, 3] * len(among)
    return found


def test_the_backends_box_goes_first_and_then_the_bucket_says_what_a_new_box_starts() -> None:
    boxes, bucket = Pretended(), Bucket()
    found = go(boxes, *deploy.boxes_of({"boxes": {"frontend": "i-2", "backend": "i-1"}}), bucket=bucket)
    assert boxes.asked == [("backend", "release v2"), ("frontend", "release v2")]
    assert [each["role"] for each in found] == ["backend", "frontend"]
    assert json.loads(bucket.objects[CURRENT_KEY]) == {"version": "v2"}


def test_who_why_how_and_how_long_reach_the_box_as_words_of_their_own() -> None:
    boxes = Pretended()
    go(boxes, BACKEND)
    (argv,) = boxes.argv
    for name, value in (
        ("--strategy", "rolling"), ("--by", "kim"), ("--reason", "it is time"), ("--soak-seconds", "3"),
    ):  # fmt: skip
        assert argv[argv.index(name) + 1] == value


def test_where_a_later_box_fails_those_before_it_go_back_and_no_new_box_starts_the_release() -> None:
    boxes, bucket = Pretended(frontend_release=FAILED, backend_rollback=released("v1")), Bucket()
    with pytest.raises(TerraceError, match=r"frontend i-2.*\n.*backend i-1.*went back to v1") as failed:
        go(boxes, BACKEND, FRONTEND, bucket=bucket)
    assert "ended by itself. v1 serves there" in str(failed.value)
    assert boxes.asked[-1] == ("backend", "rollback")
    assert bucket.objects == {}


def test_a_box_that_ends_without_a_word_of_how_is_asked_what_serves() -> None:
    with pytest.raises(TerraceError, match=r"ended with 1\..*scripts/deploy\.py status"):
        go(Pretended(backend_release=Ended(1, "", "")), BACKEND)


def test_a_box_that_had_it_already_does_not_go_back() -> None:
    boxes = Pretended(backend_release=released("v2", changed=False), frontend_release=FAILED)
    with pytest.raises(TerraceError):
        go(boxes, BACKEND, FRONTEND)
    assert boxes.asked == [("backend", "release v2"), ("frontend", "release v2")]


def test_a_refusal_of_the_first_box_is_a_refusal_of_all() -> None:
    boxes = Pretended(
        backend_release=Ended(4, "", "     0.1 s  fetch  v2\nanother deploy holds the lock. Wait\n")
    )
    with pytest.raises(deploy.RefusedError, match="another deploy holds the lock") as refused:
        go(boxes, BACKEND, FRONTEND)
    assert "fetch" not in str(refused.value)
    assert boxes.asked == [("backend", "release v2")]


def test_a_stack_that_does_not_stand_has_no_box_and_one_of_option_a_has_one() -> None:
    assert deploy.boxes_of({"instance_id": "i-3"}) == (Box("single", "i-3"),)
    with pytest.raises(TerraceError, match="has no box"):
        deploy.boxes_of({})


def test_what_a_box_refuses_in_its_plan_is_refused_before_anybody_is_asked() -> None:
    deploy.refuse([{"role": "single", "box": "i-1", "refused": ""}])
    with pytest.raises(deploy.RefusedError, match="needs 2253 MiB"):
        deploy.refuse([{"role": "single", "box": "i-1", "refused": "needs 2253 MiB, 2201 are free"}])


class Full(Pretended):
    """Boxes of which the backend's has no room for a second service."""

    def run(self, box: Box, argv: Sequence[str]) -> Ended:
        if argv[1] != "plan":
            return super().run(box, argv)
        strategy = argv[argv.index("--strategy") + 1]
        refused = "needs 870 MiB" if (box.role, strategy) == ("backend", "rolling") else ""
        told = {
            "role": box.role,
            "strategy": strategy,
            "refused": refused,
            "downtime": strategy == "big-bang",
        }
        return Ended(deploy.REFUSED_CODE if refused else 0, json.dumps(told), "")


def test_a_box_without_room_is_interrupted_where_that_is_allowed_and_the_other_rolls() -> None:
    boxes = Full()
    asked = Asked("v2", Strategy.ROLLING, "kim", "", or_interrupt=True)
    plans = deploy.plan(boxes, (BACKEND, FRONTEND), asked)
    assert [(each["strategy"], each["downtime"]) for each in plans] == [
        ("big-bang", True),
        ("rolling", False),
    ]
    deploy.refuse(plans)
    deploy.deploy(boxes, Bucket(), (BACKEND, FRONTEND), asked.by_plan(plans), lambda *_: None)
    assert [argv[argv.index("--strategy") + 1] for argv in boxes.argv] == ["big-bang", "rolling"]


def test_a_box_without_room_refuses_where_nothing_may_be_interrupted() -> None:
    plans = deploy.plan(Full(), (BACKEND, FRONTEND), Asked("v2", Strategy.ROLLING, "kim", ""))
    with pytest.raises(deploy.RefusedError, match="needs 870 MiB"):
        deploy.refuse(plans)
