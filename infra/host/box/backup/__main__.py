"""Entry point of `terrace-backup`."""

import sys

from infra.host.box.backup.command import main

if __name__ == "__main__":
    sys.exit(main())
