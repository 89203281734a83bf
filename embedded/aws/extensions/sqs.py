"""SQS: who waits for a message does not hold up everybody else."""

from __future__ import annotations

from typing import Any

from moto.sqs.models import Queue

from embedded.aws.extensions.patching import Patches
from embedded.aws.world import WORLD

patches = Patches()


@patches.wrap(Queue)
def wait_for_messages(original: Any, queue: Any, timeout: int) -> None:
    with WORLD.set_down():
        original(queue, timeout)


def install() -> None:
    """Install into moto."""
    patches.apply()
