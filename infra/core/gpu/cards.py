"""The only place for which cards the controller is told to keep the endpoint on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.core.gpu.platform import Stock


@dataclass(frozen=True, slots=True)
class Cards:
    """Which cards are meant, for the controller: the type, its pools, and what is excluded from them."""

    type: str
    pools: tuple[str, ...]
    excluded_types: tuple[str, ...]
    min_cuda: str = ""

    def stand_in(self, live: Mapping[str, Any]) -> bool:
        """Whether the live endpoint excludes what is meant. Other pools are a person's edit, which `read` shows."""
        gpu = live.get("gpu") or {}
        others = set(gpu.get("pools") or []) != set(self.pools)
        return others or set(gpu.get("excludedTypes") or []) == set(self.excluded_types)

    def stock(self, level: Stock | None, cuda: Iterable[tuple[str, bool]]) -> Stock | None:
        """How much of the card is free for us: none where no host has the CUDA that is asked for.

        `level` and `cuda` (versions, and whether a host with each is free) are the catalogue's; where it lists no
        version nothing is known of them.
        """
        versions = list(cuda)
        enough = [free for version, free in versions if _version(version) >= _version(self.min_cuda or "0")]
        return Stock.NONE if versions and not any(enough) else level

    def as_body(self) -> dict[str, Any]:
        """The selection as a PATCH takes it; CUDA constraints stay, which are cleared by name only."""
        return {"pools": list(self.pools), "excludedTypes": list(self.excluded_types)}

    def as_data(self) -> dict[str, Any]:
        """Plain values, for the controller's parameter."""
        return {"type": self.type, **self.as_body(), "minCuda": self.min_cuda}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Cards:
        """The opposite of `as_data`."""
        return cls(data["type"], tuple(data["pools"]), tuple(data["excludedTypes"]), data["minCuda"])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(".") if each.isdecimal())
