"""The endpoint as a Pulumi resource: made once, read, changed as lightly as may be, without a key in its state."""

from __future__ import annotations

import json
from typing import Any

import dill
import pytest

from embedded.runpod import control
from embedded.runpod.faults import FaultName
from embedded.runpod.server import RunPodServer
from infra.components import gpu as component
from infra.components.gpu import EndpointProvider
from infra.core.errors import TerraceError
from infra.core.gpu import bodies
from infra.core.gpu.modes import Wanted
from infra.core.gpu.platform import POOLS

from .support import KEY, definition, envelope, raw_definition

PROVIDER = EndpointProvider()


def inputs(wanted: Wanted = Wanted.FLEX, most: int = 2, **changes: Any) -> dict[str, Any]:
    return {
        "spec": bodies.spec(definition(**changes), name="terrace-dev-receipts"),
        "envelope": envelope(wanted, most).as_data(),
        "secrets": [],
        "secretsParameter": "/terrace/dev/gpu/env",
        "registry": "",
        "keyParameter": "/terrace/dev/app/RUNPOD_API_KEY",
        "region": "ap-northeast-2",
    }


def made(props: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    result = PROVIDER.create(props or inputs())
    assert result.outs is not None
    return str(result.id), result.outs


def posts(served: RunPodServer) -> int:
    return sum(
        1 for method, path, _ in served.double.requests if (method, path) == ("POST", "/v2/serverless")
    )


def test_an_endpoint_is_made_and_its_state_says_what_stands_without_the_key(served: RunPodServer) -> None:
    id_, outs = made()
    assert outs["endpoint_id"] == id_
    assert outs["jobs_url"] == f"{served.url}/v2/{id_}"
    assert outs["spec"] == inputs()["spec"]
    assert KEY not in json.dumps(outs)
    assert KEY.encode() not in dill.dumps(PROVIDER)
    assert PROVIDER.diff(id_, outs, inputs()).changes is False


def test_what_comes_back_from_the_engine_as_floats_is_no_difference(served: RunPodServer) -> None:
    id_, outs = made()
    outs["spec"] = json.loads(json.dumps(outs["spec"]), parse_int=float)
    assert PROVIDER.diff(id_, outs, inputs()).changes is False


@pytest.mark.parametrize("fault", [FaultName.LOST_REPLY, FaultName.SERVER_ERROR])
def test_a_lost_answer_to_a_create_never_makes_two(served: RunPodServer, fault: FaultName) -> None:
    served.double.faults.plan(fault, method="POST", path="/v2/serverless")
    if fault is FaultName.LOST_REPLY:
        made()
    else:
        with pytest.raises(TerraceError, match="looks first"):
            made()
        made()
    assert len(served.double.endpoints) == 1


def test_an_engine_killed_between_post_and_state_finds_the_endpoint_again(served: RunPodServer) -> None:
    first, _ = made()
    second, _ = made()
    assert first == second
    assert posts(served) == 1


def test_an_endpoint_that_stood_before_is_taken_over_and_brought_to_what_is_wanted(
    served: RunPodServer,
) -> None:
    first, _ = made(inputs(flashboot="OFF", execution_timeout_seconds=100))
    second, outs = made(inputs())
    assert first == second
    assert outs["spec"]["flashboot"] == "FLASHBOOT"
    assert served.double.endpoints[0].body["timeout"] == 300_000


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        (("NVIDIA L4", "NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090", "NVIDIA X9"), "NVIDIA X9 too"),
        (("NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"), "no NVIDIA L4 any more"),
    ],
)
def test_where_a_pool_holds_other_cards_than_were_written_down_nothing_is_made_or_moved(
    served: RunPodServer, monkeypatch: pytest.MonkeyPatch, cards: tuple[str, ...], said: str
) -> None:
    before = inputs(gpu={**raw_definition()["gpu"], "min_cuda": "13.1"})
    id_, state = made(before)
    monkeypatch.setattr(control, "POOLS", {**POOLS, "AMPERE_24": cards})
    with pytest.raises(TerraceError, match=said):
        PROVIDER.update(id_, state, inputs())
    PROVIDER.delete(id_, state)
    with pytest.raises(TerraceError, match=said):
        made()
    assert served.double.endpoints == []


def test_a_key_that_may_not_read_the_catalogue_makes_the_endpoint_and_says_what_nobody_looked_at(
    served: RunPodServer, capsys: pytest.CaptureFixture[str]
) -> None:
    served.double.faults.plan(FaultName.FORBIDDEN, path="/v2/catalog")
    made()
    assert len(served.double.endpoints) == 1
    assert "may not read the catalogue" in capsys.readouterr().err


def test_two_of_a_name_are_refused_with_their_ids(served: RunPodServer) -> None:
    first, _ = made()
    twin = served.double.endpoints[0]
    body = {**twin.body, "gpu": {"pools": ["AMPERE_24"]}}
    served.double.control.answer("POST", ["serverless"], {}, body)
    with pytest.raises(TerraceError, match="stands 2 times") as told:
        made()
    assert first in str(told.value)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"execution_timeout_seconds": 200}, {"timeout"}),
        ({"flashboot": "OFF"}, {"flashboot"}),
        ({"disk_gb": 50}, {"disk"}),
    ],
)
def test_a_change_sends_only_what_differs(
    served: RunPodServer, change: dict[str, Any], fields: set[str]
) -> None:
    id_, outs = made()
    wanted = inputs(**change)
    assert PROVIDER.diff(id_, outs, wanted).changes is True
    assert PROVIDER.diff(id_, outs, wanted).replaces == []
    PROVIDER.update(id_, outs, wanted)
    (sent,) = [body for method, _, body in served.double.requests if method == "PATCH"]
    assert set(sent) == fields


def test_a_changed_type_is_a_replacement(served: RunPodServer) -> None:
    id_, outs = made()
    wanted = inputs()
    wanted["spec"]["type"] = "LOAD_BALANCER"
    assert PROVIDER.diff(id_, outs, wanted).replaces == ["spec"]


def test_a_patch_that_wipes_exclusions_is_repaired(served: RunPodServer) -> None:
    id_, outs = made()
    served.double.faults.plan(FaultName.WIPES_EXCLUSIONS, method="PATCH")
    PROVIDER.update(id_, outs, inputs(execution_timeout_seconds=200))
    assert len(served.double.endpoints[0].body["gpu"]["excludedTypes"]) == 2


def test_what_the_controller_sets_inside_the_envelope_is_nobody_elses_business(served: RunPodServer) -> None:
    id_, outs = made(inputs(Wanted.AUTO))
    served.double.endpoints[0].body["workers"] = {"min": 1, "max": 1, "idleTimeout": 900}
    read = PROVIDER.read(id_, outs)
    assert read.outs is not None
    assert PROVIDER.diff(id_, read.outs, inputs(Wanted.AUTO)).changes is False


def test_an_edit_outside_the_envelope_is_drift_and_is_put_right(served: RunPodServer) -> None:
    id_, outs = made(inputs(Wanted.AUTO))
    served.double.endpoints[0].body["workers"] = {"min": 0, "max": 5, "idleTimeout": 60}
    read = PROVIDER.read(id_, outs)
    assert read.outs is not None
    assert read.outs["amiss"] == "workers: min 0, max 5, idle 60 s"
    assert PROVIDER.diff(id_, read.outs, inputs(Wanted.AUTO)).changes is True
    PROVIDER.update(id_, read.outs, inputs(Wanted.AUTO))
    assert served.double.endpoints[0].most == 2


@pytest.mark.parametrize(
    ("live", "wanted", "most", "left"),
    [
        ((0, 0), Wanted.ACTIVE, 2, (0, 0)),
        ((1, 2), Wanted.FLEX, 2, (1, 2)),
        ((2, 2), Wanted.AUTO, 1, (1, 1)),
    ],
    ids=["what is closed stays closed", "inside nothing is sent", "outside its nearest edge is"],
)
def test_a_changed_envelope_leaves_to_the_controller_what_lies_inside_it(
    served: RunPodServer, live: tuple[int, int], wanted: Wanted, most: int, left: tuple[int, int]
) -> None:
    id_, outs = made(inputs(Wanted.AUTO))
    endpoint = served.double.endpoints[0]
    endpoint.body["workers"] = {"min": live[0], "max": live[1], "idleTimeout": 900}
    PROVIDER.update(id_, outs, inputs(wanted, most))
    assert endpoint.body["workers"] == {"min": left[0], "max": left[1], "idleTimeout": 900}


@pytest.mark.parametrize("edit", ["another", "none", "gone"])
def test_a_registry_credential_that_was_changed_in_the_console_is_drift_and_is_put_right(
    served: RunPodServer, edit: str
) -> None:
    control = served.double.control
    ids = [
        control.answer("POST", ["registries"], {}, {"name": name, "username": "u", "password": "p"})[1]["id"]
        for name in ("ours", "theirs")
    ]
    props = {**inputs(), "registry": "ours"}
    id_, outs = made(props)
    body = served.double.endpoints[0].body
    assert (body["registry"], outs["amiss"]) == (ids[0], "")
    if edit == "gone":
        del control.registries[ids[0]]
    else:
        body["registry"] = ids[1] if edit == "another" else None
    read = PROVIDER.read(id_, outs)
    assert read.outs is not None
    assert read.outs["amiss"].startswith("registry: ")
    assert PROVIDER.diff(id_, read.outs, props).changes is True
    if edit == "gone":
        with pytest.raises(TerraceError, match="registry NAME USER"):
            PROVIDER.update(id_, read.outs, props)
        return
    PROVIDER.update(id_, read.outs, props)
    assert served.double.endpoints[0].body["registry"] == ids[0]


def test_drift_of_the_definition_is_seen_by_a_refresh(served: RunPodServer) -> None:
    id_, outs = made()
    served.double.endpoints[0].body["env"]["MAX_MODEL_LEN"] = "128000"
    read = PROVIDER.read(id_, outs)
    assert read.outs is not None
    assert PROVIDER.diff(id_, read.outs, inputs()).changes is True


def test_an_endpoint_deleted_in_the_console_is_gone_from_the_state_and_gone_is_deleted(
    served: RunPodServer,
) -> None:
    id_, outs = made()
    served.double.world.remove(served.double.endpoints[0])
    assert PROVIDER.read(id_, outs).id == ""
    with pytest.raises(TerraceError, match="pulumi refresh"):
        PROVIDER.update(id_, outs, inputs(disk_gb=50))
    PROVIDER.delete(id_, outs)


def test_a_secret_variable_is_sent_but_is_in_no_state(
    served: RunPodServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "read_parameter", lambda name, region: "sentinel-hf")
    props = {**inputs(), "secrets": ["HF_TOKEN"]}
    id_, outs = made(props)
    assert served.double.endpoints[0].body["env"]["HF_TOKEN"] == "sentinel-hf"
    assert "sentinel-hf" not in json.dumps(outs)
    del served.double.endpoints[0].body["env"]["HF_TOKEN"]
    read = PROVIDER.read(id_, outs)
    assert read.outs is not None
    assert PROVIDER.diff(id_, read.outs, props).changes is True
    PROVIDER.update(id_, read.outs, props)
    assert served.double.endpoints[0].body["env"]["HF_TOKEN"] == "sentinel-hf"


def test_a_secret_variable_that_nobody_filled_is_refused_before_anything_is_made(
    served: RunPodServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "read_parameter", lambda name, region: "unset")
    with pytest.raises(TerraceError, match="secret set HF_TOKEN"):
        made({**inputs(), "secrets": ["HF_TOKEN"]})
    assert served.double.endpoints == []


def test_without_a_key_create_says_the_remedy(served: RunPodServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY")
    monkeypatch.setattr(component, "find_key", lambda name, region: None)
    with pytest.raises(TerraceError, match="key set"):
        made()


def test_stand_ins_are_never_sent_to_the_real_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_API_URL", raising=False)
    monkeypatch.setenv("RUNPOD_API_KEY", "never-sent")
    with pytest.raises(TerraceError, match=r"stand-ins.*gpu.py pin"):
        made()
