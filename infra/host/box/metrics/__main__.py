"""`terrace-metrics` on the box."""

import sys

from infra.host.box.metrics.command import main

sys.exit(main())
