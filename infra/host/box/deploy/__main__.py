"""`python3 -m terrace_box.deploy`, which the bundle calls `terrace-deploy`."""

import sys

from .main import main

sys.exit(main())
