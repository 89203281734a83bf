"""`gpu.py pin`: what publishers say is written, and what one of them lacks stops nothing."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from infra.core.errors import TerraceError
from infra.core.gpu import definition
from infra.core.gpu.definition import FILE, load
from ops.adapters.gpu import PublishedDigests
from ops.gpu.pin import pin

ROOT = FILE.parents[1]
DIGEST, REVISION = "sha256:" + "ab" * 32, "cd" * 20


@dataclass
class Published:
    """A registry with the images that were pushed, and a hub; `down` is a name whose asking fails."""

    pushed: dict[str, str] = field(default_factory=lambda: {"runpod/worker-v1-vllm": DIGEST})
    revision: str = REVISION
    unknown: int = 404
    down: str = ""
    digests: PublishedDigests = field(init=False)

    def __post_init__(self) -> None:
        self.digests = PublishedDigests(httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.down and self.down in str(request.url):
            raise httpx.ConnectError("no route to host")
        if request.url.host == "huggingface.co":
            return httpx.Response(200, json={"sha": self.revision})
        name = request.url.path.removeprefix("/v2/").split("/manifests/")[0]
        if name not in self.pushed:
            return httpx.Response(self.unknown)
        return httpx.Response(200, headers={"docker-content-digest": self.pushed[name]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The project's own definition, to be written."""
    path = tmp_path / "endpoint.yaml"
    path.write_text(FILE.read_text())
    return path


def named(path: Path) -> None:
    """A person writes where the image goes."""
    path.write_text(path.read_text().replace("registry.invalid/terrace/gpu", "registry.example.com/team/gpu"))


def workflow_builds_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Runs the workflow's own lines on that definition; what they hand on."""
    steps = yaml.safe_load((ROOT / ".github/workflows/gpu-image.yml").read_text())["jobs"]["image"]["steps"]
    (lines,) = (each["run"] for each in steps if each.get("id") == "definition")
    code = textwrap.dedent(lines.split("<<'PYTHON'\n")[1].split("\nPYTHON")[0])
    with monkeypatch.context() as patch:
        patch.setattr(definition, "load", lambda: load(path))
        exec(compile(code, "gpu-image.yml", "exec"), {})  # noqa: S102 the project's own workflow
    return capsys.readouterr().out


@pytest.mark.parametrize("unknown", [401, 403, 404])
def test_the_documented_first_run_ends_with_no_stand_in_left(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], unknown: int
) -> None:
    published = Published(unknown=unknown)
    named(path)
    with pytest.raises(AssertionError, match="stand-ins"):
        workflow_builds_it(path, monkeypatch, capsys)
    first = pin(published.digests, path=path)
    assert set(first.changed) == {"model.revision", "image.base_digest"}
    # It may be pushed, and not public: the registry answers both alike.
    assert "is it pushed, and public? The workflow gpu-image" in first.waiting["image.digest"]
    assert not first.failed
    assert f"revision={REVISION}" in workflow_builds_it(path, monkeypatch, capsys)
    published.pushed["team/gpu"] = "sha256:" + "12" * 32
    published.revision = "ef" * 20  # the hub goes on meanwhile; the image holds what it was built from
    second = pin(published.digests, path=path, only=["image.digest"])
    assert second.changed == {"image.digest": "sha256:" + "12" * 32}
    assert not second.waiting
    assert load(path).stand_ins == ()
    assert load(path).model.revision == REVISION


def test_without_a_repository_the_rest_is_written_and_comments_and_order_stay(path: Path) -> None:
    published = Published()
    made = pin(published.digests, path=path)
    assert set(made.changed) == {"model.revision", "image.base_digest"}
    assert "image.repository" in made.waiting["image.digest"]
    before, after = FILE.read_text().splitlines(), path.read_text().splitlines()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 2
    assert pin(published.digests, path=path).changed == {}


def test_a_publisher_that_cannot_be_asked_fails_alone(path: Path) -> None:
    made = pin(Published(down="huggingface.co").digests, path=path)
    assert set(made.changed) == {"image.base_digest"}
    assert [each.what for each in made.failed] == ["cannot be asked: no route to host"]


def test_a_base_that_its_registry_does_not_show_is_a_failure_and_nothing_to_wait_for(path: Path) -> None:
    made = pin(Published(pushed={}).digests, path=path)
    assert set(made.changed) == {"model.revision"}
    assert ["404" in each.what for each in made.failed] == [True]


def test_a_key_that_is_none_is_refused_before_anybody_is_asked(path: Path) -> None:
    with pytest.raises(TerraceError, match=r"did you mean 'image.digest'"):
        pin(Published(down="/").digests, path=path, only=["image.digets"])
    assert path.read_text() == FILE.read_text()


def test_what_is_no_digest_is_never_written(path: Path) -> None:
    made = pin(Published(pushed={"runpod/worker-v1-vllm": "latest"}).digests, path=path)
    assert set(made.changed) == {"model.revision"}
    assert len(made.failed) == 1


def test_a_digest_is_asked_of_a_registry_with_its_own_token() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return httpx.Response(200, json={"token": "t"})
        assert request.url.path == "/v2/team/gpu/manifests/v1"
        if "authorization" not in request.headers:
            challenge = (
                'Bearer realm="https://auth.example.com/token",service="r",scope="repository:team/gpu:pull"'
            )
            return httpx.Response(401, headers={"www-authenticate": challenge})
        return httpx.Response(200, headers={"docker-content-digest": "sha256:" + "12" * 32})

    found = PublishedDigests(httpx.MockTransport(answer)).image_digest("registry.example.com/team/gpu:v1")
    assert found == "sha256:" + "12" * 32


def test_an_image_for_which_a_registry_hands_out_no_token_waits_like_one_that_is_not_there(
    path: Path,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "huggingface.co":
            return httpx.Response(200, json={"sha": REVISION})
        if "worker-v1-vllm" in str(request.url):
            return httpx.Response(200, headers={"docker-content-digest": DIGEST})
        if request.url.path == "/token":
            return httpx.Response(403, text="DENIED")
        challenge = 'Bearer realm="https://registry.example.com/token",service="r"'
        return httpx.Response(401, headers={"www-authenticate": challenge})

    named(path)
    made = pin(PublishedDigests(httpx.MockTransport(answer)), path=path)
    assert set(made.waiting) == {"image.digest"}
    assert not made.failed
