"""What every test process needs, whoever started it."""

from __future__ import annotations

import signal

# A shell starts background jobs (`.ci/run &`) with Ctrl-C ignored, and every process below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
