"""`python3 -m infra.host.box.deploy`, which the bundle calls `terrace-deploy`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
