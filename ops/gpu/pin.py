"""The only place for writing real digests and revisions into runpod/endpoint.yaml; comments and order stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from infra.core.gpu.definition import FILE, load
from ops.gpu.ports import Digests


def pin(digests: Digests, *, path: Path = FILE, only: tuple[str, ...] = ()) -> dict[str, str]:
    """Writes what the publishers say; which keys were changed, with their new values.

    Raises:
        TerraceError: what would be written is refused; the file is then as it was.
    """
    definition = load(path)
    image = definition.image
    asked: dict[str, Callable[[], str]] = {
        "model.revision": lambda: digests.model_revision(definition.model.name),
        "image.base_digest": lambda: digests.image_digest(image.base),
        "image.digest": lambda: digests.image_digest(f"{image.repository}:{image.tag}"),
    }
    if "image.repository" in definition.stand_ins:
        del asked["image.digest"]
    before = path.read_text(encoding="utf-8")
    text, changed = before, {}
    for key, ask in asked.items():
        if only and key not in only:
            continue
        name, value = key.split(".")[1], ask()
        pattern = rf'^(  {name}: )("?)[^"\s#]+("?)'
        if not re.search(pattern, text, re.MULTILINE):
            raise TerraceError(Fault(f"{path.name}: {key}", "was not found", "Write it once by hand"))
        found = re.sub(pattern, rf"\g<1>\g<2>{value}\g<3>", text, count=1, flags=re.MULTILINE)
        if found != text:
            changed[key], text = value, found
    if text == before:
        return {}
    fresh = path.with_suffix(".yaml.new")
    fresh.write_text(text, encoding="utf-8")
    try:
        load(fresh)
    except TerraceError:
        fresh.unlink()
        raise
    fresh.replace(path)
    return changed
