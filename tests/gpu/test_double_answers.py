"""What the double refuses and what may befall it: "What a fake must model" of the platform's facts, line by line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from embedded.aws.errors import FaultError
from embedded.runpod.befalls import KINDS, strike
from embedded.runpod.faults import FaultName
from embedded.runpod.kept import KeptRunPod
from infra.clients.calling import UnavailableError
from infra.core.gpu import bodies
from infra.core.gpu.modes import Wanted

from .support import KEY, URL, Bench, bench, definition, envelope

JOB: dict[str, Any] = {"input": {}}


def ask(made: Bench, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    content = None if body is None else json.dumps(body).encode()
    answer = made.double.handle(method, URL + path, {"Authorization": f"Bearer {KEY}"}, content)
    return answer.status, dict(answer.headers), json.loads(answer.content or b"null")


def create(**changes: Any) -> dict[str, Any]:
    body = bodies.create_body(
        bodies.spec(definition(), name="n"), envelope().first(), secrets={}, registry=None
    )
    return {**body, **changes}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v2/serverless", "GET, POST"),
        ("/v2/serverless/ep1", "GET, PATCH, DELETE"),
        ("/v2/serverless/ep1/workers", "GET"),
        ("/v2/catalog/gpus", "GET"),
        ("/v2/billing/serverless", "GET"),
        ("/v2/registries/reg1", "DELETE"),
    ],
)
def test_a_method_that_a_path_has_not_is_told_which_it_has(path: str, allowed: str) -> None:
    status, headers, problem = ask(bench(), "PUT", path, {})
    assert (status, headers["Allow"], problem["title"]) == (405, allowed, "Method Not Allowed")


def test_a_path_that_is_none_is_not_found_whatever_the_method() -> None:
    assert [ask(bench(), verb, "/v2/serverless/a/b/c")[0] for verb in ("GET", "PUT")] == [404, 404]


def test_one_card_of_the_catalogue_is_had_by_its_id() -> None:
    made = bench()
    status, _, card = ask(made, "GET", "/v2/catalog/gpus/NVIDIA%20L4?include=AVAILABILITY&product=SERVERLESS")
    assert (status, card["id"], card["availability"]) == (200, "NVIDIA L4", "MEDIUM")
    assert ask(made, "GET", "/v2/catalog/gpus/NVIDIA%20T4")[0] == 404
    assert ask(made, "GET", "/v2/catalog/gpus/NVIDIA%20L4?include=AVAILABILITY")[0] == 400


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"templateId": "tpl1"}, 404, "tpl1"),
        ({"registry": "reg9"}, 400, "reg9"),
        ({"gpu": {"pools": ["AMPERE_24"], "excludedTypes": ["NVIDIA RTX A5000"] * 2}}, 422, "unique"),
        ({"cpu": {"instanceIds": ["cpu3c-2-4"]}}, 400, "exactly one"),
    ],
)
def test_a_create_that_the_platform_refuses_is_refused(
    changes: dict[str, Any], status: int, said: str
) -> None:
    made = bench()
    found, _, problem = ask(made, "POST", "/v2/serverless", create(**changes))
    assert found == status
    assert said in problem["detail"] + "".join(problem.get("errors", []))
    assert made.double.endpoints == []


def test_a_change_from_gpu_to_cpu_or_to_a_registry_that_nobody_made_is_refused() -> None:
    made = bench()
    endpoint = made.endpoint()
    path = f"/v2/serverless/{endpoint}"
    assert ask(made, "PATCH", path, {"cpu": {"instanceIds": ["cpu3c-2-4"]}})[0] == 400
    assert ask(made, "PATCH", path, {"registry": "reg9"})[0] == 400
    registry = made.api.create_registry("ours", "robot", "word").id
    assert ask(made, "PATCH", path, {"registry": registry})[0] == 200
    assert ask(made, "PATCH", path, {"registry": None})[0] == 200


def test_a_bill_comes_in_every_bucket_and_snaps_outward() -> None:
    made = bench()
    made.pass_time(3 * 86400)
    made.endpoint(Wanted.ACTIVE)
    made.pass_time(6 * 86400)  # from Thursday to Wednesday
    totals = {}
    for size in ("hour", "day", "week", "month", "year"):
        path = f"/v2/billing/serverless?bucketSize={size}&startTime=2026-01-01T00:00:00Z"
        records = ask(made, "GET", path)[2]["records"]
        totals[size] = sum(each["gpuAmount"] for each in records)
        starts = [datetime.fromisoformat(each["startTime"]).astimezone(UTC) for each in records]
        assert all(starts[index] < starts[index + 1] for index in range(len(starts) - 1))
    assert totals["week"] == pytest.approx(totals["day"], rel=1e-4)
    assert (
        totals["month"] == pytest.approx(totals["year"], rel=1e-4) == pytest.approx(totals["hour"], rel=1e-2)
    )
    week = ask(made, "GET", "/v2/billing/serverless?bucketSize=week&lastN=2")[2]["records"]
    assert [datetime.fromisoformat(each["startTime"]).weekday() for each in week] == [0, 0]
    assert len(ask(made, "GET", "/v2/billing/serverless?lastN=3")[2]["records"]) == 3


@pytest.mark.parametrize(
    "query", ["bucketSize=minute", "lastN=0", "lastN=two", "lastN=2&startTime=2026-01-01T00:00:00Z"]
)
def test_a_window_that_is_none_is_refused(query: str) -> None:
    assert ask(bench(), "GET", f"/v2/billing/serverless?{query}")[0] == 400


def test_an_answer_that_is_too_slow_is_tried_again_and_one_that_is_not_is_waited_for() -> None:
    made = bench()
    began = made.double.world.now
    made.double.faults.plan(FaultName.SLOW, seconds=20)
    assert made.api.endpoints() == []
    assert made.double.world.now == began + 20
    made.double.faults.plan(FaultName.SLOW, times=99, seconds=45)
    with pytest.raises(UnavailableError, match="timed out"):
        made.api.endpoints()


def test_a_create_that_the_platform_does_twice_makes_two_of_a_name() -> None:
    made = bench()
    made.double.faults.plan(FaultName.DUPLICATE_CREATE, method="POST", path="/v2/serverless")
    made.endpoint()
    assert len(made.api.named("terrace-dev-receipts")) == 2


def test_every_kind_that_a_person_may_name_befalls_the_double_until_it_is_well() -> None:
    made = bench()
    made.endpoint(Wanted.ACTIVE)
    made.pass_time(200)
    (endpoint,) = made.double.endpoints
    for kind in KINDS:
        assert strike({"kind": kind}, made.double)
    assert strike({"kind": "box-dies"}, made.double) is None
    strike({"kind": "runpod-crash-loop"}, made.double)
    strike({"kind": "runpod-429", "times": 2, "retry_after_seconds": 60}, made.double)
    assert endpoint.crashing
    assert made.double.faults.planned[-1].retry_after_seconds == 60
    strike({"kind": "runpod-well"}, made.double)
    assert not endpoint.crashing
    assert made.double.faults.planned == []
    for wrong in (
        {"kind": "runpod-meteor"},
        {"kind": "runpod-429", "times": 0},
        {"kind": "runpod-slow", "seconds": "x"},
    ):
        with pytest.raises(FaultError):
            strike(wrong, made.double)


@pytest.mark.parametrize("name", ["dead-engine", "crash-loop", "bad-image", "no-stock"])
def test_what_befalls_workers_stops_the_work_and_it_goes_on_when_it_is_over(name: str) -> None:
    made = bench()
    endpoint = made.endpoint()
    if name == "dead-engine":
        made.double.handle(
            "POST", f"{URL}/v2/{endpoint}/run", {"Authorization": f"Bearer {KEY}"}, json.dumps(JOB).encode()
        )
        made.pass_time(130)
    done = made.double.endpoints[0].completed
    strike({"kind": f"runpod-{name}"}, made.double)
    ask(made, "POST", f"/v2/{endpoint}/run", JOB)
    made.pass_time(400)
    assert made.double.endpoints[0].completed == done
    strike({"kind": "runpod-well"}, made.double)
    ask(made, "POST", f"/v2/{endpoint}/run", JOB)
    made.pass_time(700)
    assert made.double.endpoints[0].completed > done


def test_what_befalls_the_double_beside_the_cloud_is_remembered(tmp_path: Path) -> None:
    kept = KeptRunPod(tmp_path / "runpod")
    kept.start()
    assert kept.befall({"kind": "runpod-no-stock"}) == "no card is to be had"
    assert kept.befall({"kind": "api-fails"}) is None
    kept.stop()
    again = KeptRunPod(tmp_path / "runpod")
    again.start()
    try:
        assert again.server.double.habits.stock == {"NVIDIA L4": "NONE"}
    finally:
        again.stop()
