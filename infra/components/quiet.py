"""The only place that keeps the SDK's debug lines from the engine: a blocking call each, four for each resource.

Nobody sees them without `pulumi --debug`, and they are a tenth of a preview. TERRACE_SDK_DEBUG=1 lets them through.
"""

from __future__ import annotations

import os
from typing import Any

from pulumi import log


def quieten() -> None:
    """Takes the SDK's debug lines away, unless they were asked for."""
    if not os.environ.get("TERRACE_SDK_DEBUG"):
        vars(log)["debug"] = _nothing


def _nothing(*_: Any, **__: Any) -> None:
    """Says nothing."""
