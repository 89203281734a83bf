"""The only place that says that a deploy is under way: the metric `deploying` at 1, each minute while it lasts.

It suppresses the composite alarms. What cannot be told stops no deploy.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator

from infra.core.metrics import DEPLOYING
from infra.host.box.metrics import place

EVERY_SECONDS = 50.0
"""Less than a minute, so that no minute between is left out."""


@contextlib.contextmanager
def announced(teller: Callable[[], place.Teller] | None = None) -> Generator[None]:
    """Tells from the beginning to the end of the block, from a thread of its own."""
    over = threading.Event()
    make = teller or _of_this_box

    def tell() -> None:
        made: place.Teller | None = None
        while True:
            with contextlib.suppress(Exception):
                made = made or make()
                made.tell({DEPLOYING: 1})
            if over.wait(EVERY_SECONDS):
                return

    thread = threading.Thread(target=tell, name="deploying", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _of_this_box() -> place.Teller:
    facts = place.facts()
    cloudwatch = place.client("cloudwatch", facts["region"])
    return place.CloudWatch(cloudwatch, facts["project"], facts["stack"], "")
