"""The embedded cloud as a person has it: started, found, killed, forgotten, broken on purpose."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from embedded.cloud import Cloud
from embedded.running import is_locked
from tools.process import lives

from .conftest import CACHE, Clone

pytestmark = pytest.mark.engine


def start(clone: Clone, *options: str) -> None:
    clone.script("local", "start", "--no-boxes", *options)


def shell(clone: Clone, line: str) -> subprocess.CompletedProcess[str]:
    """A line in a shell after `eval "$(scripts/local.py env)"`."""
    return subprocess.run(
        ["bash", "-c", f'set -e; eval "$({clone.root}/scripts/local.py env)"; {line}'],
        cwd=clone.root,
        env=clone.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def python(clone: Clone, expression: str) -> str:
    """What an expression over boto3 comes to in such a shell."""
    done = shell(clone, f'python -c "import boto3; print({expression})"')
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_starts_is_found_and_ends_and_leaves_no_process(clone: Clone) -> None:
    assert json.loads(clone.script("local", "status", "--output", "json").stdout) == {"running": False}
    start(clone)
    found = json.loads(clone.script("local", "status", "--output", "json").stdout)
    assert found["running"] is True
    assert found["without_boxes"] == "switched off"
    start(clone)
    assert json.loads(clone.script("local", "status", "--output", "json").stdout)["pid"] == found["pid"]
    clone.script("local", "stop")
    assert not lives(found["pid"])
    assert "was not running" in clone.script("local", "stop").stderr


def test_two_starts_at_once_make_one_cloud(clone: Clone) -> None:
    started = [clone.start_script("local", "start", "--no-boxes") for _ in range(2)]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    found = subprocess.run(
        ["pgrep", "-f", str(clone.root / ".local" / "cloud")], capture_output=True, text=True, check=False
    )
    assert len(found.stdout.split()) == 1


def test_a_shell_that_evaluates_env_reaches_this_cloud_and_nothing_of_the_users_own(clone: Clone) -> None:
    start(clone)
    done = shell(
        clone,
        'pulumi stack init dev >/dev/null; pulumi whoami -v | grep -q file:; test -z "${AWS_PROFILE:-}"; '
        "python -c \"import boto3; print(boto3.client('sts').get_caller_identity()['Account'])\"",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("123456789012")
    before = (clone.home / ".pulumi" / "credentials.json").read_text()
    assert list((clone.home / ".pulumi").iterdir()) == [clone.home / ".pulumi" / "credentials.json"]
    assert before == '{"current": "https://api.pulumi.example"}'


def test_env_without_a_cloud_says_how_to_start_one(clone: Clone) -> None:
    done = clone.script("local", "env", check=False)
    assert done.returncode == 1
    assert "scripts/local.py start" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_stood_stands_again_at_the_same_address_after_stop_and_start(clone: Clone) -> None:
    start(clone)
    first = clone.cloud.running()
    where = "CreateBucketConfiguration={'LocationConstraint': 'ap-northeast-2'}"
    python(clone, f"boto3.client('s3').create_bucket(Bucket='kept', {where})")
    clone.script("local", "stop")
    start(clone)
    second = clone.cloud.running()
    assert first is not None
    assert second is not None
    assert (first.api_url, first.provider_port) == (second.api_url, second.provider_port)
    assert python(clone, "boto3.client('s3').list_buckets()['Buckets'][0]['Name']") == "kept"


def test_a_port_that_somebody_took_meanwhile_is_no_reason_to_stop(clone: Clone) -> None:
    start(clone)
    former = clone.cloud.running()
    clone.script("local", "stop")
    assert former is not None
    port = int(former.api_url.rpartition(":")[2])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        start(clone)
        now = clone.cloud.running()
    assert now is not None
    assert now.api_url != former.api_url


def test_a_killed_cloud_remembers_what_was_a_few_seconds_old(clone: Clone) -> None:
    start(clone)
    running = clone.cloud.running()
    assert running is not None
    made = shell(clone, "python -c \"import boto3; boto3.client('sns').create_topic(Name='kept')\"")
    assert made.returncode == 0, made.stderr
    time.sleep(3.5)
    os.kill(running.pid, signal.SIGKILL)
    while is_locked(clone.cloud.directory):
        time.sleep(0.05)
    start(clone)
    done = shell(clone, "python -c \"import boto3; print(len(boto3.client('sns').list_topics()['Topics']))\"")
    assert done.stdout.strip() == "1"


def test_a_state_of_pulumis_without_its_cloud_is_seen_and_both_ways_out_are_named(clone: Clone) -> None:
    stacks = clone.cloud.backend / ".pulumi" / "stacks" / "terrace"
    stacks.mkdir(parents=True)
    (stacks / "dev.json").write_text(json.dumps({"checkpoint": {"latest": {"resources": [{"urn": "x"}]}}}))
    refused = clone.script("local", "start", "--no-boxes", check=False)
    assert refused.returncode == 1
    assert "still knows of: dev" in refused.stderr
    assert "start --fresh" in refused.stderr
    start(clone, "--fresh")
    assert not stacks.exists()


def test_reset_asks_and_without_an_answer_changes_nothing(clone: Clone) -> None:
    start(clone)
    refused = clone.script("local", "reset", check=False)
    assert refused.returncode == 1
    assert "Nothing was changed" in refused.stderr
    assert clone.cloud.running() is not None
    clone.script("local", "reset", "--yes")
    assert not clone.cloud.directory.exists()


def test_check_says_every_fault_of_a_file_without_the_engine(clone: Clone) -> None:
    path = clone.root / "Pulumi.dev.yaml"
    assert "nothing wrong" in clone.script("local", "check", str(path)).stdout
    path.write_text(
        path.read_text().replace("single-8g", "single-9g").replace("ap-northeast-2c", "eu-west-1a")
    )
    done = clone.script("local", "check", str(path), check=False)
    assert done.returncode == 1
    assert "'single-9g' is no stage" in done.stderr
    assert "terrace:zones[1]" in done.stderr


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{", "is no JSON"),
        ('{"kind": "api-explodes"}', "is no kind of fault"),
        ('{"kind": "engine-killed", "after": -1}', "whole number from 0"),
        ('{"kind": "box-dies", "instance": "i-1"}', "there are no boxes"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_words(standing: Clone, fault: str, said: str) -> None:
    done = standing.script("local", "fault", fault, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_strikes_as_often_as_it_was_told_and_can_be_taken_away(clone: Clone) -> None:
    start(clone)
    clone.script(
        "local", "fault", '{"kind": "api-fails", "service": "sns", "action": "ListTopics", "times": 1}'
    )
    line = "python -c \"import boto3; boto3.client('sns').list_topics(); print('answered')\""
    assert shell(clone, f"AWS_MAX_ATTEMPTS=1 {line}").returncode != 0
    assert shell(clone, line).stdout.strip() == "answered"
    assert json.loads(clone.script("local", "fault", "--clear").stdout) == []


def test_a_log_that_ends_in_a_failure_is_told(clone: Clone) -> None:
    clone.cloud.directory.mkdir(parents=True)
    (clone.cloud.directory / "state").write_bytes(b"no state of ours")
    done = clone.script("local", "start", "--no-boxes", check=False)
    assert done.returncode == 1
    assert "did not start" in done.stderr
    assert "Log:" in done.stderr
    assert "Traceback" not in done.stderr


def test_machines_that_cannot_be_had_are_one_clear_line_and_everything_else_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from embedded import boxes
    from embedded.boxes.errors import HostError

    def refuse(*_: Any, **__: Any) -> Any:
        raise HostError(
            "boxes need root, this runs as user 1000", "Run as root, or go on without boxes (--no-boxes)."
        )

    monkeypatch.setattr(boxes.Host, "open", refuse)
    with Cloud(tmp_path, cache=CACHE, boxes=True) as cloud:
        assert "boxes need root" in cloud.without_boxes
        assert "\n" not in cloud.without_boxes.strip()
        assert cloud.provider_port


def test_a_second_cloud_in_a_process_begins_empty(tmp_path: Path) -> None:
    import boto3

    make: Any = boto3.client
    for name in ("one", "two"):
        with Cloud(tmp_path / name, cache=CACHE) as cloud:
            sns = make("sns", endpoint_url=cloud.api.url, region_name="ap-northeast-2",
                       aws_access_key_id="x", aws_secret_access_key="x")  # fmt: skip
            assert sns.list_topics()["Topics"] == []
            sns.create_topic(Name="left")
