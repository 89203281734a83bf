"""`python3 -m infra.host.box.data`."""

import sys

from infra.host.box.data.command import main

if __name__ == "__main__":
    sys.exit(main())
