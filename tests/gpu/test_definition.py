"""runpod/endpoint.yaml: every rule of the platform is checked before anything is sent, with its arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.gpu import memory
from infra.core.gpu.definition import load, read

from .support import raw_definition


def changed(path: str, value: Any) -> dict[str, Any]:
    """The definition with one value changed; None takes it away."""
    raw = raw_definition()
    *way, last = path.split(".")
    place = raw
    for part in way:
        place[part] = dict(place[part])
        place = place[part]
    place[last] = value
    if value is None:
        del place[last]
    return raw


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(TerraceError) as refused:
        read(raw)
    return str(refused.value)


def test_the_projects_own_definition_is_accepted_and_says_which_values_are_stand_ins() -> None:
    assert load().stand_ins == ("model.revision", "image.repository", "image.digest", "image.base_digest")


def test_the_arithmetic_of_the_l4_is_that_of_the_facts() -> None:
    budget = load().memory
    assert budget.kv_bytes_per_token == 56 * 1024
    assert round(budget.cache_gib, 2) == 1.8
    assert budget.cache_tokens == 33704
    assert load().request_tokens == 2 * 1280 + 1024 + 2048


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("environment.LIMIT_MM_PER_PROMPT", "image=2,video=0", "before 0.10"),
        ("environment.MAX_MODEL_LEN", 128000, "33704 tokens"),
        ("environment.MAX_MODEL_LEN", 4096, "= 5632 tokens"),
        ("environment.MAX_MODEL_LEN", None, "is missing"),
        ("environment.GPU_MEMORY_UTILIZATION", 0.75, "holds 0 tokens"),
        ("environment.ENFORCE_EAGER", "yes", "neither true nor false"),
        ("environment.BASE_PATH", "/runpod-volume/models", "hides the baked weights"),
        ("environment.SWAP_SPACE", 4, "has no effect"),
        ("environment.MM_PROCESSOR_KWARGS", {"min_pixels": 3136}, "caps max_pixels at None"),
        ("gpu.excluded_types", ["NVIDIA RTX A5000"], "leaves NVIDIA L4, NVIDIA GeForce RTX 3090"),
        ("gpu.excluded_types", ["NVIDIA L40"], "is not in AMPERE_24"),
        ("gpu.pool", "ADA_24", "is not in ADA_24"),
        ("gpu.min_cuda", None, "13.0 or later"),
        ("gpu.min_cuda", "12.8", "cannot run"),
        ("gpu.allowed_cuda", ["13.0"], "beside gpu.min_cuda"),
        ("scaling.queue_delay_seconds", 0.2, "below 0.5"),
        ("scaling", {"type": "REQUEST_COUNT", "request_count": 4}, "REQUEST_COUNT"),
        ("idle_timeout_seconds.soft", 7200, "outside 1 to 3600"),
        ("execution_timeout_seconds", 2, "outside 5 to"),
        ("most_workers", 9, "above the quota of 5"),
        ("data_centers", ["Texas"], "form of a data centre"),
        ("request.images", 3, "LIMIT_MM_PER_PROMPT"),
        ("image.digest", "sha256:12", "right form"),
        ("image.base", "runpod/worker-v1-vllm:latest", "bears no version"),
        ("model.revision", "main", "right form"),
        ("wokers", 1, "no key of the definition"),
        ("secret_environment", ["MAX_NUM_SEQS"], "named as a secret too"),
    ],
)
def test_a_rule_of_the_platform_refuses(path: str, value: Any, said: str) -> None:
    assert said in refusal(changed(path, value))


def test_a_definition_without_a_needed_variable_is_refused_with_why() -> None:
    raw = raw_definition()
    raw["environment"] = {"BASE_PATH": "/models"}
    assert refusal(raw).count("is missing:") >= 5


RTX_4090: dict[str, Any] = {"pool": "ADA_24", "type": "NVIDIA GeForce RTX 4090", "excluded_types": []}


def test_a_card_whose_memory_is_not_known_is_refused_with_what_it_would_need() -> None:
    raw = raw_definition()
    raw["gpu"] = {**raw["gpu"], **RTX_4090}
    assert "need 21.0 GiB at 0.90" in refusal(raw)


def test_the_longest_request_is_measured_on_any_card() -> None:
    raw = changed("environment.MAX_MODEL_LEN", 4096)
    raw["gpu"] = {**raw["gpu"], **RTX_4090}
    assert "= 5632 tokens" in refusal(raw)


def test_a_card_whose_memory_was_added_is_reckoned_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_definition()
    raw["gpu"] = {**raw["gpu"], **RTX_4090}
    monkeypatch.setitem(memory.GPU_MEMORY_GIB, RTX_4090["type"], 22.0)
    assert "NVIDIA GeForce RTX 4090, addressable" in dict(read(raw).memory_lines())
    monkeypatch.setitem(memory.GPU_MEMORY_GIB, RTX_4090["type"], 20.9)
    assert "does not fit" in refusal(raw)
