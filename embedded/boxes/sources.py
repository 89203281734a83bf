"""The only place for the settings of this machine's apt that boxes need as well."""

from __future__ import annotations

from embedded.boxes.errors import HostError
from embedded.boxes.process import command

_OPTIONS = (
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
)
"""Settings of this machine's apt without which its mirror may not answer."""


def apt_options() -> tuple[str, ...]:
    """Settings of this machine's apt that boxes need as well, in the form `Name "value";`."""
    try:
        lines = command(["apt-config", "dump"]).splitlines()
    except HostError:
        return ()
    found: list[str] = []
    for line in lines:
        name, _, value = line.partition(" ")
        if name in _OPTIONS and value not in ('"";', ""):
            found.append(line)
    return tuple(found)
