"""A small but real service for the demo and the tests: a JVM backend with PostgreSQL, a Node frontend, its releases.

    directory = sample.lay_out(Path(...), "v1", cache=CACHE)      what `scripts/deploy.py publish` takes

Nothing has to be on this machine for it but what boxes need: the backend is compiled in Debian's own JDK 21.
"""

from __future__ import annotations

from embedded.sample.build import BuildError, Fault, FaultKind, backend_jar, lay_out

__all__ = ["BuildError", "Fault", "FaultKind", "backend_jar", "lay_out"]
