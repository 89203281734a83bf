"""Runs in a box: writes fifty rows a second and never twice, to one database or, where that refuses, to the other.

Each acknowledged write is a line: its number, which of the two took it, when.
"""

import subprocess
import sys
import time
from pathlib import Path

EVERY_SECONDS = 0.02
STOP = Path("/root/stop")


def main() -> None:
    """Arguments are the two hosts; the password comes by the environment."""
    sides = [("one", f"host={sys.argv[1]}"), ("other", f"host={sys.argv[2]} sslmode=require")]
    number, due = 0, time.monotonic()
    while not STOP.exists():
        name, way = sides[0]
        session = subprocess.Popen(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", f"{way} dbname=app user=app"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert session.stdin
        assert session.stdout
        while not STOP.exists():
            due = max(due + EVERY_SECONDS, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            number += 1
            try:
                session.stdin.write(
                    f"insert into receipts (merchant) values ('paced-{number}') returning 'taken';\n"  # noqa: S608
                )
                session.stdin.flush()
            except BrokenPipeError:
                break
            if session.stdout.readline() != "taken\n":
                break
            sys.stdout.write(f"{number} {name} {time.monotonic()}\n")
            sys.stdout.flush()
        session.kill()
        session.wait()
        sides.reverse()


main()
