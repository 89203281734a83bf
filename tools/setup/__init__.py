"""Set-up of a fresh clone: `.venv` from hash-locked requirements, and the Pulumi engine.

Standard library only: all of it runs before `.venv` exists. The rest of the project imports `tools.setup.engine`.
This file and `__main__.py` stay readable to a Python that is too old, so that it can be told so.
"""
