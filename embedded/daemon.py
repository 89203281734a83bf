"""The only place for the embedded cloud as a process of its own: started once, found again, ended cleanly.

    python -m embedded.daemon DIRECTORY --cache CACHE [--no-boxes]

`DIRECTORY/cloud.json` says where it listens while it runs; a lock on `DIRECTORY/lock` says whether it runs. The
ports of the last run are taken again where they are free, so an environment that was set up before still works.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from embedded.aws.errors import EmbeddedAwsError
from embedded.cloud import Cloud
from embedded.running import ALREADY_RUNS, Running


def main() -> int:
    """Runs until it is told to end by SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="the embedded cloud as a process")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--no-boxes", action="store_true")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr
    )
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ALREADY_RUNS
        return _serve(directory, arguments.cache, boxes=not arguments.no_boxes, lock=lock)


def _serve(directory: Path, cache: Path, *, boxes: bool, lock: IO[str]) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    del lock  # held for as long as the process lives
    api_port, provider_port, runpod_port = _former_ports(directory)
    after_kill = (directory / "cloud.json").exists()
    if after_kill:  # nobody may take the dead cloud's word for this one's
        (directory / "cloud.json").rename(directory / "former.json")
    cloud = Cloud(
        directory,
        cache=cache,
        port=api_port,
        provider_port=provider_port,
        runpod_port=runpod_port,
        boxes=boxes,
        progress=lambda said: _write(directory / "progress", said),
    )
    try:
        try:
            cloud.start()
        except (EmbeddedAwsError, RuntimeError) as error:
            if not api_port:
                raise
            logging.getLogger(__name__).warning("former ports are taken (%s); others are used", error)
            cloud = Cloud(directory, cache=cache, boxes=boxes)
            cloud.start()
        (directory / "progress").unlink(missing_ok=True)
        running = Running(
            os.getpid(),
            cloud.api.url,
            cloud.provider_port,
            datetime.now(UTC).isoformat(),
            cloud.runpod.url,
            cloud.without_boxes,
            after_kill,
        )
        _write(directory / "cloud.json", json.dumps(asdict(running)))
        ended.wait()
    except Exception as error:  # noqa: BLE001 the last place that can say it
        traceback.print_exc()
        _write(directory / "failure", str(error) or type(error).__name__)
        return 1
    finally:
        with suppress(FileNotFoundError):
            (directory / "cloud.json").rename(directory / "former.json")
        cloud.stop()
    return 0


def _former_ports(directory: Path) -> tuple[int, int, int]:
    for name in ("cloud.json", "former.json"):
        with suppress(OSError, ValueError, KeyError):
            former = json.loads((directory / name).read_text(encoding="utf-8"))
            api, runpod = former["api_url"], former.get("runpod_url", ":0")  # of a cloud before it had one
            return _port(api), int(former["provider_port"]), _port(runpod)
    return 0, 0, 0


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
