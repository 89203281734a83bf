"""scripts/gpu.py where it asks AWS and RunPod, as a user types it: good input, wrong input, Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from embedded.runpod import pictures, samples
from embedded.runpod.faults import FaultName
from embedded.runpod.model import Endpoint
from embedded.runpod.server import RunPodServer
from infra.clients.calling import ONCE
from infra.clients.runpod_jobs import Jobs
from infra.clients.runpod_key import KEY_PARAMETER, UNSET
from ops.talk import Exit

from .support import KEY
from .test_box_program import NAMING, REGION, stand
from .test_commands import loaded

HINT = "gpu.py job "
SECRET = "sentinel-of-a-secret"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunPodServer]:
    """A double whose jobs and results live for minutes outside, however slow the machine."""
    with RunPodServer(speed=10) as server:
        monkeypatch.setenv("RUNPOD_API_URL", server.url)
        monkeypatch.setenv("RUNPOD_API_KEY", KEY)
        yield server


@pytest.fixture
def stack(
    served: RunPodServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Any, RunPodServer]]:
    """The script on a stack with an endpoint, whose double knows the samples; workers are there at once."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    served.double.habits.cold_seconds = served.double.habits.execution_seconds = 0.1
    served.double.habits.answer = samples.answers(pictures.known)
    with mock_aws(), loaded("gpu", monkeypatch) as script:
        stand(served, monkeypatch)
        monkeypatch.setattr(script, "RECORDS", tmp_path / "records")
        with script.CONNECTIONS:
            yield script, served


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """A receipt that the double knows."""
    pictures.draw("bunsik", tmp_path / "receipt.png")
    return str(tmp_path / "receipt.png")


def typed(script: Any, *words: str, given: str | None = None) -> Result:
    """What the command ends with; nothing of Python's reaches a user."""
    found = CliRunner().invoke(script.app, list(words), input=given)
    assert "Traceback" not in found.output
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def sent(served: RunPodServer) -> int:
    return sum(1 for _, path, _ in served.double.requests if path.endswith("/run"))


def parameter(*path: str) -> str:
    found = boto3.client("ssm", region_name=REGION).get_parameter(
        Name=NAMING.parameter(*path), WithDecryption=True
    )
    return str(found["Parameter"]["Value"])


def without_cards(served: RunPodServer) -> None:
    served.double.habits.stock = {"NVIDIA L4": "NONE"}


def test_where_no_worker_is_ready_a_receipt_is_being_analysed_and_asked_for_again(
    stack: tuple[Any, RunPodServer], photo: str
) -> None:
    script, served = stack
    without_cards(served)
    first = typed(script, "invoke", photo, "-o", "json")
    assert first.exit_code == Exit.DONE, first.stderr
    said = json.loads(first.stdout)
    assert said["status"] == "being analysed"
    assert f"{HINT}{said['job']} -s dev" in first.stderr
    again = typed(script, "job", said["job"], "-o", "json")
    assert json.loads(again.stdout) == said
    assert not script.RECORDS.exists()
    served.double.habits.stock = {"NVIDIA L4": "HIGH"}
    ended = typed(script, "job", said["job"], "--wait", "-o", "json")
    assert ended.exit_code == Exit.DONE, ended.stderr
    answer = samples.SAMPLES["bunsik"].answer
    found = json.loads(ended.stdout)
    assert (found["merchant"], found["total"], found["double"]) == (answer["merchant"], "29000", True)
    assert "the double's" in ended.stderr
    assert sent(served) == 1
    records = (script.RECORDS / "dev.records.jsonl").read_text().splitlines()
    assert [json.loads(each)["job"] for each in records] == [said["job"]]


def test_a_receipt_that_is_waited_for_is_printed_and_one_that_is_none_says_why(
    stack: tuple[Any, RunPodServer], photo: str, tmp_path: Path
) -> None:
    script, served = stack
    read = typed(script, "invoke", photo, "--wait")
    assert read.exit_code == Exit.DONE, read.stderr
    assert "참치김밥" in read.stdout
    pictures.drawn("bunsik").rotate(90).save(tmp_path / "other.png")
    unknown = typed(script, "invoke", str(tmp_path / "other.png"), "--wait")
    assert unknown.exit_code == Exit.FAILED
    assert "know no such picture" in unknown.stderr
    assert "not-json" in unknown.stderr
    for name, verdict in (("miscounted", "does-not-add-up"), ("torn", "cut-off")):
        pictures.draw(name, tmp_path / f"{name}.png")
        bad = typed(script, "invoke", str(tmp_path / f"{name}.png"), "--wait")
        assert bad.exit_code == Exit.FAILED
        assert verdict in bad.stderr
    assert sent(served) == 4


def test_ctrl_c_while_a_receipt_is_waited_for_says_how_to_ask_again_and_sends_nothing_twice(
    stack: tuple[Any, RunPodServer], photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, served = stack

    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "wait_for", interrupted)
        ended = typed(script, "invoke", photo, "--wait")
    assert ended.exit_code == Exit.INTERRUPTED
    job = ended.stderr.split(HINT)[1].split()[0]
    assert typed(script, "job", job, "--wait").exit_code == Exit.DONE
    assert sent(served) == 1


def test_a_server_that_fails_once_while_a_receipt_is_waited_for_does_not_end_the_wait(
    stack: tuple[Any, RunPodServer], photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, served = stack
    path = f"/v2/{served.double.endpoints[0].id}/status"
    served.double.faults.plan(FaultName.SERVER_ERROR, method="GET", path=path)
    read = typed(script, "invoke", photo, "--wait")
    assert (read.exit_code, served.double.faults.struck) == (Exit.DONE, [FaultName.SERVER_ERROR]), read.stderr
    # One that fails for longer than our patience leaves a job that is paid for: its id is said.
    monkeypatch.setattr(script, "Patience", lambda: ONCE)
    served.double.faults.plan(FaultName.SERVER_ERROR, method="GET", path=path)
    ended = typed(script, "invoke", photo, "--wait")
    assert (ended.exit_code, "500" in ended.stderr) == (Exit.FAILED, True)
    job = " ".join(ended.stderr.split()).split(HINT)[1].split()[0]
    assert typed(script, "job", job, "--wait").exit_code == Exit.DONE
    assert sent(served) == 2


def test_a_job_is_cancelled_once_and_one_that_is_unknown_or_ended_is_said_to_be(
    stack: tuple[Any, RunPodServer], photo: str
) -> None:
    script, served = stack
    without_cards(served)
    job = json.loads(typed(script, "invoke", photo, "--no-wait", "-o", "json").stdout)["job"]
    (endpoint,) = served.double.endpoints
    asked = typed(script, "cancel", job)
    assert asked.exit_code == Exit.FAILED
    assert "Nothing was changed" in asked.stderr
    assert endpoint.jobs[job].status == "IN_QUEUE"
    assert "CANCELLED" in typed(script, "cancel", job, "--yes").stderr
    assert endpoint.jobs[job].status == "CANCELLED"
    ended = typed(script, "cancel", job, "--yes")
    assert (ended.exit_code, "ended already" in ended.stderr) == (Exit.DONE, True)
    assert "job-failed" in typed(script, "job", job).stderr
    for command in (("job",), ("cancel", "--yes")):
        unknown = typed(script, command[0], "job-that-never-was", *command[1:])
        assert unknown.exit_code == Exit.FAILED
        assert "knows no such job" in unknown.stderr


def test_status_says_where_the_endpoint_differs_and_what_each_difference_asks_for(
    stack: tuple[Any, RunPodServer],
) -> None:
    script, served = stack
    assert json.loads(typed(script, "status", "-o", "json").stdout)["differences"] == []
    body = served.double.endpoints[0].body
    body["timeout"], body["dataCenterIds"] = 1000, ["EU-RO-1"]
    body["env"]["MAX_MODEL_LEN"], body["workers"] = "128000", {"min": 0, "max": 5, "idleTimeout": 60}
    found = typed(script, "status", "-o", "json")
    assert json.loads(found.stdout)["differences"] == [
        "release: env.MAX_MODEL_LEN: '128000' -> '8192'",
        "scale-only: timeout: 1000 -> 300000",
        "placement: dataCenterIds: ['EU-RO-1'] -> []",
        "scale-only: workers: 'min 0, max 5, idle 60 s' -> 'min 0, max 2, idle 60 s'",
    ]


def test_an_endpoint_that_stands_already_is_renamed_once_and_only_after_a_yes(
    stack: tuple[Any, RunPodServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, served = stack
    (endpoint,) = served.double.endpoints
    name = endpoint.body["name"]
    assert "bears the name" in typed(script, "adopt", endpoint.id).stderr
    endpoint.body["name"] = "made by hand"
    asked = typed(script, "adopt", endpoint.id)
    assert (asked.exit_code, endpoint.body["name"]) == (Exit.FAILED, "made by hand")

    def interrupted(*_: Any, **__: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(script, "confirm", interrupted)
        assert typed(script, "adopt", endpoint.id).exit_code == Exit.INTERRUPTED
    assert endpoint.body["name"] == "made by hand"
    assert typed(script, "adopt", endpoint.id, "--yes").exit_code == Exit.DONE
    assert endpoint.body["name"] == name
    assert "is no endpoint" in typed(script, "adopt", "nobodys", "--yes").stderr


def test_an_adoption_beside_an_endpoint_of_that_name_is_refused_with_its_id(
    stack: tuple[Any, RunPodServer],
) -> None:
    script, served = stack
    (endpoint,) = served.double.endpoints
    served.double.world.add(
        Endpoint("other", {**endpoint.body, "name": "made by hand"}, served.double.world.now)
    )
    refused = typed(script, "adopt", "other", "--yes")
    assert refused.exit_code == Exit.FAILED
    assert f"stands already: {endpoint.id}" in refused.stderr


def test_a_registrys_password_comes_from_standard_input_and_is_shown_nowhere(
    stack: tuple[Any, RunPodServer],
) -> None:
    script, served = stack
    empty = typed(script, "registry", "ghcr", "robot", given="\n")
    assert (empty.exit_code, "empty password" in empty.stderr) == (Exit.FAILED, True)
    made = typed(script, "registry", "ghcr", "robot", given=SECRET + "\n")
    assert made.exit_code == Exit.DONE, made.stderr
    assert SECRET not in made.output
    assert "registry: ghcr" in made.stderr
    again = typed(script, "registry", "ghcr", "robot", given=SECRET + "\n")
    assert (again.exit_code, "stands already" in again.stderr) == (Exit.DONE, True)
    assert len(served.double.control.registries) == 1


def test_a_key_comes_from_standard_input_is_kept_in_its_parameter_and_shown_nowhere(
    stack: tuple[Any, RunPodServer],
) -> None:
    script, _ = stack
    before = parameter(*KEY_PARAMETER)
    empty = typed(script, "key", "set", given="  \n")
    assert (empty.exit_code, "empty value" in empty.stderr) == (Exit.FAILED, True)
    assert parameter(*KEY_PARAMETER) == before
    made = typed(script, "key", "set", given=f"{SECRET}\n")
    assert made.exit_code == Exit.DONE, made.stderr
    assert SECRET not in made.output
    assert parameter(*KEY_PARAMETER) == SECRET
    refused = typed(script, "status")
    assert refused.exit_code == Exit.FAILED
    assert "key set" in refused.stderr
    assert SECRET not in refused.output


def test_a_secret_of_the_worker_is_filled_where_the_definition_names_it(
    stack: tuple[Any, RunPodServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    script, _ = stack
    stranger = typed(script, "secret", "set", "HF_TOKEN", given=SECRET)
    assert (stranger.exit_code, "no secret of the definition" in stranger.stderr) == (Exit.FAILED, True)
    changed = script.load().model_copy(update={"secret_environment": ("HF_TOKEN",)})
    monkeypatch.setattr(script, "load", lambda: changed)
    early = typed(script, "secret", "set", "HF_TOKEN", given=SECRET)
    assert (early.exit_code, "pulumi up -s dev" in early.stderr) == (Exit.FAILED, True)
    boto3.client("ssm", region_name=REGION).put_parameter(
        Name=NAMING.parameter("gpu", "env", "HF_TOKEN"), Value=UNSET, Type="SecureString"
    )
    made = typed(script, "secret", "set", "HF_TOKEN", given=SECRET)
    assert made.exit_code == Exit.DONE, made.stderr
    assert SECRET not in made.output
    assert parameter("gpu", "env", "HF_TOKEN") == SECRET


WRONG: tuple[tuple[tuple[str, ...], Exit, str], ...] = (
    (("invoke", "no-such.jpg"), Exit.FAILED, "no such file"),
    (("invoke", "no-such.jpg", "--within", "-1"), Exit.USAGE, "--within"),
    (("mode", "turbo"), Exit.USAGE, "turbo"),
    (("mode", "active"), Exit.USAGE, "--reason"),
    (("mode", "active", "--hours", "400", "--reason", "x"), Exit.USAGE, "336"),
    (("status", "-s", "nobody"), Exit.FAILED, "nobody"),
    (("report", "--log", "no-such.log"), Exit.USAGE, "no file"),
)


def test_wrong_input_is_refused_in_words_and_nothing_is_sent(stack: tuple[Any, RunPodServer]) -> None:
    script, served = stack
    before = len(served.double.requests)
    for words, code, said in WRONG:
        found = typed(script, *words)
        assert (found.exit_code, said in found.stderr) == (code, True), found.stderr
    assert len(served.double.requests) == before
