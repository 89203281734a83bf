"""Put into a box by tests: stops the installer at a named point, so that its power can be cut exactly there.

A program of the test's own, and no switch of the product: Python tells of each file renamed and each program started
(sys.addaudithook), and the installer notes each step in bootstrap.json before it begins it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

WANTED, REACHED = Path("/root/cut.json"), Path("/root/reached")
FETCHING = sys.orig_argv[-2:] == ["/opt/terrace/fetch.py", "boot"]


def watch(step: str, at: int) -> None:
    """Stops before the `at`-th program or file of the step, or where the step is through; `fetch` is fetch.py."""
    now, seen = "fetch" if FETCHING else "", 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal now, seen
        if event == "os.rename" and str(arguments[1]).endswith("/bootstrap.json") and not FETCHING:
            steps = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))["steps"]
            if steps.get(step, {}).get("state") == "done":
                stop()
            now = next((name for name, each in steps.items() if each["state"] == "running"), "")
        elif now == step and event in ("os.rename", "subprocess.Popen"):
            seen += 1
            if seen == at:
                stop()

    sys.addaudithook(hook)


def stop() -> None:
    """Says that the point is reached, and stands still until the power goes."""
    REACHED.touch()
    while True:
        time.sleep(3600)


INSTALLING = "infra.host.box.install" in sys.orig_argv and "install" in sys.orig_argv
if (INSTALLING or FETCHING) and WANTED.exists():
    watch(**json.loads(WANTED.read_text(encoding="utf-8")))
