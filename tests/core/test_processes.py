"""Who lives: what has ended does not, even while its parent has not asked after it."""

import os
import subprocess
import sys
import time

from tools.process import lives


def test_this_process_lives_and_one_that_was_waited_for_does_not() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    assert lives(os.getpid())
    done.wait()
    assert not lives(done.pid)


def test_a_process_that_was_killed_and_not_waited_for_does_not_live() -> None:
    sleeping = subprocess.Popen(["sleep", "600"])
    assert lives(sleeping.pid)
    sleeping.kill()
    until = time.monotonic() + 10
    while lives(sleeping.pid) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(sleeping.pid, 0)  # It is still there for its parent, which is this process.
    assert not lives(sleeping.pid)
    sleeping.wait()
