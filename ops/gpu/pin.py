"""The only place for writing real digests and revisions into runpod/endpoint.yaml; comments and order stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.core.errors import Fault, TerraceError, nearest
from infra.core.gpu.definition import FILE, load
from ops.gpu.ports import Digests, NotPublishedError

REVISION, BASE, IMAGE = "model.revision", "image.base_digest", "image.digest"
KEYS = (REVISION, BASE, IMAGE)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a run of `pin` came to: keys by their new values, keys that wait for something, and what failed."""

    changed: Mapping[str, str]
    waiting: Mapping[str, str]
    failed: Sequence[Fault] = ()


def pin(digests: Digests, *, path: Path = FILE, only: Sequence[str] = ()) -> Pinned:
    """Writes what the publishers say; what one of them does not have stops none of the others.

    The image's own digest waits until its repository is named and the image is pushed: the image is built from the
    two other values, so they come first.

    Raises:
        TerraceError: a key of `only` is none, or what would be written is refused; the file is then as it was.
    """
    if strangers := [each for each in only if each not in KEYS]:
        said = f"is no key that is pinned{nearest(strangers[0], KEYS)}"
        raise TerraceError(Fault(strangers[0], said, f"Keys: {', '.join(KEYS)}"))
    definition = load(path)
    image = definition.image
    asked: dict[str, Callable[[], str]] = {
        REVISION: lambda: digests.model_revision(definition.model.name),
        BASE: lambda: digests.image_digest(image.base),
        IMAGE: lambda: digests.image_digest(f"{image.repository}:{image.tag}"),
    }
    text = before = path.read_text(encoding="utf-8")
    changed: dict[str, str] = {}
    waiting: dict[str, str] = {}
    failed: list[Fault] = []
    for key in only or KEYS:
        if key == IMAGE and "image.repository" in definition.stand_ins:
            waiting[key] = f"write image.repository into {path.name}: {image.repository} is a stand-in"
            continue
        try:
            value = asked[key]()
        except NotPublishedError as error:
            if key == IMAGE:
                waiting[key] = f"{error.faults[0]} The workflow gpu-image pushes it"
            else:
                failed += error.faults
            continue
        except TerraceError as error:
            failed += error.faults
            continue
        found = _written(text, key, value, path)
        if found != text:
            changed[key], text = value, found
    if text != before:
        _replace(path, text)
    return Pinned(changed, waiting, failed)


def _written(text: str, key: str, value: str, path: Path) -> str:
    name = key.split(".")[1]
    pattern = rf'^(  {name}: )("?)[^"\s#]+("?)'
    if not re.search(pattern, text, re.MULTILINE):
        raise TerraceError(Fault(f"{path.name}: {key}", "was not found", "Write it once by hand"))
    return re.sub(pattern, rf"\g<1>\g<2>{value}\g<3>", text, count=1, flags=re.MULTILINE)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".yaml.new")
    fresh.write_text(text, encoding="utf-8")
    try:
        load(fresh)
    except TerraceError:
        fresh.unlink()
        raise
    fresh.replace(path)
