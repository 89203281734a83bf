"""The client on the double: refusals with their remedy, retries, lost answers, and the platform's own habits."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import pytest

from embedded.runpod.faults import FaultName
from infra.clients.calling import (
    BadReplyError,
    ForbiddenError,
    LimitedError,
    LostAnswerError,
    Patience,
    RejectedError,
    RetiredError,
    UnauthorizedError,
)
from infra.clients.runpod import RunPod
from infra.clients.runpod_jobs import JobPolicy
from infra.clients.transport import Key
from infra.core.gpu.modes import Wanted
from infra.core.gpu.platform import JobStatus, WorkerStatus

from .support import NOW, URL, Bench, bench

POLICY = JobPolicy(300, 3600)
DAY = 86400


def submit(bench: Bench, endpoint: str, count: int = 1) -> list[str]:
    return [bench.jobs(endpoint).run({"n": each}, POLICY).id for each in range(count)]


def workers(bench: Bench, endpoint: str) -> list[WorkerStatus]:
    return [each.status for each in bench.api.workers(endpoint)]


def test_without_a_key_nothing_is_sent_and_the_remedy_is_said() -> None:
    made = bench(key="")
    with pytest.raises(UnauthorizedError, match="key set"):
        made.api.endpoints()
    assert made.double.requests == []


@pytest.mark.parametrize(("key", "refused"), [("revoked", UnauthorizedError), ("reader", ForbiddenError)])
def test_a_key_without_the_right_is_told_at_once(key: str, refused: type[Exception]) -> None:
    made = bench(key=key)
    made.double.habits.allowed_keys["reader"] = "read"
    with pytest.raises(refused) as told:
        made.endpoint()
    assert key not in str(told.value).replace("read and write", "")
    assert len(made.double.requests) == 1


def test_an_address_of_v1_is_explained() -> None:
    made = bench()
    api = RunPod(made.api.caller, url=f"{URL}/v1")
    with pytest.raises(RetiredError, match=r"REST v1 was retired.*RUNPOD_API_URL"):
        api.endpoints()


def test_a_rate_limit_is_waited_for_as_long_as_it_asks() -> None:
    made = bench()
    made.double.faults.plan(FaultName.LIMITED, times=2, retry_after_seconds=7)
    assert made.api.endpoints() == []
    assert made.double.world.now == NOW + 14


def test_a_rate_limit_of_an_hour_ends_our_patience() -> None:
    made = bench()
    made.double.faults.plan(FaultName.LIMITED, times=99, retry_after_seconds=3600)
    with pytest.raises(LimitedError, match="3600 s") as told:
        made.api.endpoints()
    assert told.value.retry_after_seconds == 3600
    assert len(made.double.requests) == 1


def test_the_doubles_own_minute_is_a_window_with_headers() -> None:
    made = bench(calls_a_minute=3, patience=Patience(attempts=1, seconds=0))
    for _ in range(3):
        made.api.endpoints()
    with pytest.raises(LimitedError):
        made.api.endpoints()
    made.pass_time(60)
    assert made.api.endpoints() == []


def test_a_server_error_is_tried_again_but_a_create_is_not() -> None:
    made = bench()
    made.double.faults.plan(FaultName.SERVER_ERROR, times=2)
    assert made.api.endpoints() == []
    made.double.faults.plan(FaultName.SERVER_ERROR, method="POST")
    with pytest.raises(LostAnswerError, match="looks first"):
        made.endpoint()


def test_an_answer_that_is_no_json_is_named() -> None:
    made = bench()
    made.double.faults.plan(FaultName.NOT_JSON)
    with pytest.raises(BadReplyError, match="no JSON"):
        made.api.endpoints()


def test_a_list_is_followed_by_its_cursor() -> None:
    made = bench(pages_of=1, quota_workers=20)
    ids = {made.endpoint(), made.endpoint(), made.endpoint()}
    assert {each.id for each in made.api.endpoints()} == ids


def test_bodies_are_closed_and_the_missing_field_alone_is_told() -> None:
    made = bench()
    with pytest.raises(RejectedError, match="'workersMin' not allowed"):
        made.api.patch(made.endpoint(), {"workersMin": 1})
    with pytest.raises(RejectedError) as told:
        made.api.create({"name": "x", "image": "y", "type": "QUEUE"})
    assert "missing property 'scaling'" in str(told.value)
    assert "not allowed" not in str(told.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"type": "QUEUE"}, "'type' not allowed"),
        ({"gpu": {"excludedTypes": ["NVIDIA L4"]}}, "requires 'pools'"),
        ({"gpu": {"pools": ["AMPERE_24"], "excludedTypes": ["NVIDIA A40"]}}, "not in the selected pools"),
        ({"gpu": {"allowedCudaVersions": ["13.0"]}}, "mutually exclusive"),
        (
            {"scaling": {"type": "REQUEST_COUNT", "requestCount": 4}, "workers": {"idleTimeout": 5}},
            "idleTimeout",
        ),
        ({"workers": {"max": 9}}, "quota"),
    ],
)
def test_a_change_that_the_platform_refuses_is_refused(body: dict[str, object], said: str) -> None:
    made = bench()
    with pytest.raises(RejectedError, match=said):
        made.api.patch(made.endpoint(), body)


def test_what_is_left_out_of_a_create_gets_the_platforms_own_defaults() -> None:
    made = bench()
    minimal = {
        "name": "x", "image": "y", "type": "QUEUE", "gpu": {"pools": ["AMPERE_24"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    }  # fmt: skip
    body = made.api.create(minimal).body
    assert (body["timeout"], body["flashboot"], body["workers"]) == (
        0,
        "OFF",
        {"min": 0, "max": 3, "idleTimeout": 10},
    )


def test_only_container_fields_make_a_release() -> None:
    made = bench()
    endpoint = made.endpoint()
    made.api.patch(endpoint, {"workers": {"min": 1, "max": 2, "idleTimeout": 60}, "timeout": 5000})
    assert made.api.rollout(endpoint).version == 1
    made.api.patch(endpoint, {"image": "another:tag"})
    assert made.api.rollout(endpoint).version == 2


def test_a_job_waits_for_a_cold_start_and_is_billed_by_the_second_until_the_idle_timeout_is_over() -> None:
    made = bench(cold_seconds=100.0)
    endpoint = made.endpoint()
    jobs = made.jobs(endpoint)
    job = jobs.wait_for(jobs.run({}, POLICY), deadline_seconds=400)
    assert job.status is JobStatus.COMPLETED
    assert 103_900 < job.delay_ms < 104_100
    made.pass_time(1000)
    assert workers(made, endpoint) == []
    (kept,) = made.double.endpoints
    assert made.double.world.billed_seconds(kept) == 100 + 6 + 60


def test_flashboot_makes_some_starts_short() -> None:
    made = bench(flash_hits=1.0)
    jobs = made.jobs(made.endpoint())
    assert jobs.wait_for(jobs.run({}, POLICY), deadline_seconds=400).delay_ms < 20_000


def test_a_worker_that_is_kept_stays_and_one_that_is_not_any_more_goes_at_its_timeout() -> None:
    made = bench()
    endpoint = made.endpoint(Wanted.ACTIVE)
    made.pass_time(7200)
    assert workers(made, endpoint) == [WorkerStatus.IDLE]
    made.api.patch(endpoint, {"workers": {"min": 0, "max": 2, "idleTimeout": 60}})
    made.pass_time(1)
    assert workers(made, endpoint) == []


def test_request_count_scales_by_what_is_in_the_queue() -> None:
    made = bench()
    endpoint = made.endpoint()
    made.api.patch(endpoint, {"scaling": {"type": "REQUEST_COUNT", "requestCount": 2}})
    submit(made, endpoint, 3)
    made.pass_time(1)
    assert len(workers(made, endpoint)) == 2


def test_low_priority_alone_starts_no_worker() -> None:
    made = bench()
    endpoint = made.endpoint()
    made.jobs(endpoint).run({}, JobPolicy(300, 3600, low_priority=True))
    made.pass_time(600)
    assert workers(made, endpoint) == []


def test_without_stock_workers_are_throttled_and_not_billed() -> None:
    made = bench(stock={"NVIDIA L4": "NONE"})
    endpoint = made.endpoint()
    submit(made, endpoint)
    made.pass_time(300)
    assert set(workers(made, endpoint)) == {WorkerStatus.THROTTLED}
    assert made.double.world.billed_seconds(made.double.endpoints[0]) == 0
    made.double.habits.stock["NVIDIA L4"] = "LOW"
    made.pass_time(300)
    assert WorkerStatus.THROTTLED not in workers(made, endpoint)


def test_a_cold_start_over_seven_minutes_is_unhealthy_unless_the_limit_is_raised() -> None:
    made = bench(cold_seconds=500.0)
    endpoint = made.endpoint()
    submit(made, endpoint)
    made.pass_time(520)
    assert workers(made, endpoint) == [WorkerStatus.RUNNING] or workers(made, endpoint) == [WorkerStatus.IDLE]
    made.double.endpoints[0].body["env"].pop("RUNPOD_INIT_TIMEOUT")
    made.pass_time(600)
    submit(made, endpoint)
    made.pass_time(430)
    assert workers(made, endpoint) == [WorkerStatus.UNHEALTHY]


@pytest.mark.parametrize("days", [3, 7])
def test_a_quiet_endpoint_is_scaled_down_by_the_platform_whatever_its_mode(days: int) -> None:
    made = bench()
    endpoint = made.endpoint(Wanted.ACTIVE, most=4)
    made.pass_time((days + 0.5) * DAY)
    found = made.api.endpoint(endpoint)
    assert found is not None
    assert found.workers.most == {3: 2, 7: 0}[days]


def test_a_dead_engine_fails_every_job_at_once_behind_a_worker_that_looks_alive() -> None:
    made = bench()
    endpoint = made.endpoint(Wanted.ACTIVE)
    made.double.endpoints[0].dead_engines = True
    made.pass_time(130)
    (job,) = submit(made, endpoint)
    made.pass_time(1)
    found = made.jobs(endpoint).status(job)
    assert found is not None
    assert found.status is JobStatus.FAILED
    assert workers(made, endpoint) == [WorkerStatus.IDLE]


def test_a_time_to_live_deletes_even_a_running_job() -> None:
    made = bench(execution_seconds=250.0)
    endpoint = made.endpoint(Wanted.ACTIVE)
    made.pass_time(130)
    job = made.jobs(endpoint).run({}, JobPolicy(300, 10))
    made.pass_time(11)
    assert made.jobs(endpoint).status(job.id) is None


def test_a_result_is_kept_for_half_an_hour() -> None:
    made = bench()
    endpoint = made.endpoint(Wanted.ACTIVE)
    made.pass_time(130)
    (job,) = submit(made, endpoint)
    made.pass_time(1700)
    assert made.jobs(endpoint).status(job) is not None
    made.pass_time(200)
    assert made.jobs(endpoint).status(job) is None


def test_deleting_an_endpoint_cancels_its_jobs_and_ends_its_bill() -> None:
    made = bench()
    endpoint = made.endpoint(Wanted.ACTIVE)
    made.pass_time(100)
    assert made.api.delete(endpoint)
    assert not made.api.delete(endpoint)
    assert made.api.endpoint(endpoint) is None
    made.pass_time(DAY)
    start, end = (datetime.fromtimestamp(NOW + d * DAY, UTC) for d in (-1, 2))
    records = made.api.billing(start=start, end=end, endpoint_id=endpoint)
    assert float(sum(each.gpu_usd for each in records)) == pytest.approx(100 * 0.00019)


def test_a_key_shows_nowhere() -> None:
    key = Key("sentinel-key")
    assert "sentinel" not in repr(key)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)
    made = bench(key="sentinel-key")
    with pytest.raises(UnauthorizedError) as told:
        made.api.endpoints()
    assert "sentinel" not in str(told.value) + repr(made.api.caller)


def test_a_body_over_ten_megabytes_is_not_sent() -> None:
    made = bench()
    with pytest.raises(RejectedError, match="base64 included"):
        made.jobs(made.endpoint()).run({"image": "x" * 10_000_001}, POLICY)


def test_a_cancelled_job_leaves_the_queue() -> None:
    made = bench()
    endpoint = made.endpoint()
    (job,) = submit(made, endpoint)
    assert made.jobs(endpoint).cancel(job).status is JobStatus.CANCELLED
    assert made.jobs(endpoint).health().queued == 0


def test_what_the_double_keeps_of_requests_is_json() -> None:
    made = bench()
    made.endpoint()
    assert json.dumps(made.double.requests)


def test_a_job_is_submitted_and_waited_for_in_one_call_and_comes_back_as_it_stands() -> None:
    made = bench()
    jobs = made.jobs(made.endpoint())
    cold = jobs.run_and_wait({"n": 1}, POLICY, wait_seconds=60)
    assert cold.status is JobStatus.IN_QUEUE
    warm = jobs.run_and_wait({"n": 2}, POLICY, wait_seconds=100)
    assert warm.status is JobStatus.COMPLETED
    assert warm.output is not None
    assert sum(1 for _, path, _ in made.double.requests if path.endswith("/runsync")) == 2


def test_a_failed_job_is_queued_again_once_and_one_that_did_not_fail_is_refused() -> None:
    made = bench()
    made.double.habits.answer = lambda _: (None, "worker_error")
    endpoint = made.endpoint()
    (job,) = submit(made, endpoint)
    made.pass_time(200)
    jobs = made.jobs(endpoint)
    failed = jobs.status(job)
    assert failed is not None
    assert failed.status is JobStatus.FAILED
    made.double.habits.answer = lambda _: ([1], "")
    assert jobs.retry(job).status is JobStatus.IN_QUEUE
    made.pass_time(200)
    again = jobs.status(job)
    assert again is not None
    assert (again.status, again.output) == (JobStatus.COMPLETED, [1])
    with pytest.raises(RejectedError, match="only failed"):
        jobs.retry(job)


def test_a_stream_gives_what_comes_until_the_job_has_ended_or_the_deadline_is_over() -> None:
    made = bench()
    made.double.habits.answer = lambda _: (["whole"], "")
    jobs = made.jobs(made.endpoint())
    job = jobs.run({"n": 1}, POLICY)
    assert list(jobs.stream(job, deadline_seconds=30)) == []
    assert list(jobs.stream(job, deadline_seconds=300)) == [["whole"]]
