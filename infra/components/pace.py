"""The only place for what makes the program itself quicker: no debug lines to the engine, no garbage collection.

The SDK sends the engine four debug lines for each resource, a blocking call each, which nobody sees without
`pulumi --debug`; TERRACE_SDK_DEBUG=1 lets them through. And it makes thousands of classes that live to the end, which
the collector looks through again and again. The process ends after seconds, with its memory.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from pulumi import log


def hurry() -> None:
    """To be called before resources are made."""
    gc.disable()
    if not os.environ.get("TERRACE_SDK_DEBUG"):
        vars(log)["debug"] = _nothing


def _nothing(*_: Any, **__: Any) -> None:
    """Says nothing."""
