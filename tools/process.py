"""The one place that asks whether a process lives."""

import os


def lives(pid: int) -> bool:
    """Whether there is such a process, ours or somebody's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
