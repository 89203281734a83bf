"""scripts/gpu.py as a user types it: what asks nobody runs here; what asks AWS and RunPod, in tests/engine."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.core.gpu.definition import FILE, load
from ops.gpu.images import prepare

from .test_pin import Published, named

ROOT = FILE.parents[1]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The script as a module, its records in a directory of the test's own."""
    with loaded("gpu", monkeypatch) as module:
        monkeypatch.setattr(module, "RECORDS", tmp_path / "records")
        yield module


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """scripts/local.py as a module."""
    with loaded("local", monkeypatch) as module:
        yield module


@contextmanager
def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location(f"{name}_script", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    signal.signal(signal.SIGINT, before)


def typed(script: Any, *words: str) -> Result:
    """What the command ends with."""
    return CliRunner().invoke(script.app, list(words))


def test_pin_says_what_it_wrote_what_waits_and_what_failed(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, published = tmp_path / "endpoint.yaml", Published(down="huggingface.co")
    path.write_text(FILE.read_text())
    named(path)
    monkeypatch.setattr(script, "PublishedDigests", lambda: published.digests)
    failed = typed(script, "pin", "--file", str(path))
    assert failed.exit_code == 1
    assert "image.digest waits" in failed.stderr
    assert "cannot be asked" in failed.stderr
    assert "Traceback" not in failed.stderr
    published.down = ""
    assert typed(script, "pin", "--file", str(path), "--only", "model.revision").exit_code == 0
    assert load(path).stand_ins == ("image.digest",)
    assert typed(script, "pin", "--file", str(path), "--only", "image").exit_code == 1


def test_plan_shows_the_arithmetic_and_the_stand_ins(script: Any) -> None:
    shown = json.loads(typed(script, "plan", "-o", "json").stdout)
    assert "= KV cache" in shown["memory"]
    assert "image.digest" in shown["stand_ins"]


def test_simulate_compares_at_any_cold_start_and_says_where_the_optimum_is_left_out(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = script.load_policy()
    monkeypatch.setattr(script, "load_policy", lambda: replace(policy, cold_start_seconds=180.0))
    found = json.loads(typed(script, "simulate", "--days", "1", "-o", "json").stdout)
    best = found[0]
    assert (best["policy"], best["wait_p50_seconds"], best["flips"]) == ("optimum", None, None)
    assert typed(script, "simulate", "--shape", "moon").exit_code == 2
    large = typed(script, "simulate", "--days", "1", "--workers", "40")
    assert large.exit_code == 0
    assert "The optimum is computed up to" in large.stderr


def test_a_sample_receipt_is_a_picture_that_invoke_takes(local: Any, tmp_path: Path) -> None:
    assert typed(local, "receipt", str(tmp_path / "new")).exit_code == 0
    assert prepare(tmp_path / "new" / "cafe.png", largest_pixels=1_003_520).tokens > 0


def test_report_without_records_says_how_to_get_some(script: Any) -> None:
    found = typed(script, "report", "-o", "json")
    assert found.exit_code == 0
    assert "No inference is on record" in found.stderr
    assert json.loads(found.stdout)["requests"] == 0
