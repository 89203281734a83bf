"""Entry point of `terrace-restore`."""

import sys

from infra.host.box.restore.command import main

if __name__ == "__main__":
    sys.exit(main())
