"""The one place that turns away a Python that is too old, before anything that it could not read is imported."""

import sys

OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    sys.stderr.write(
        "set-up stopped at python\n"
        "  cause   Python {}.{}.{} ({}) is older than {}.{}, the oldest that this project runs on\n"
        "  remedy  install Python {}.{} or newer, then `make setup PYTHON=/path/to/python3`\n".format(
            *(tuple(sys.version_info[:3]) + (sys.executable,) + OLDEST_PYTHON + OLDEST_PYTHON)  # noqa: RUF005
        )
    )
    sys.exit(1)

from tools.setup.run import main  # noqa: E402

sys.exit(main())
