"""The only place for the controller as a program of a box: one round each time, started by terrace-gpu.timer."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from pathlib import Path

from infra.core.errors import TerraceError
from infra.core.naming import Naming
from infra.host.box.gpu.aws import CloudWatch, NoEndpointError, S3Store, clients, given
from infra.host.box.gpu.controller import Controller
from infra.host.box.gpu.inferences import Inferences
from infra.host.box.gpu.record import Journal

BOX_FACTS = Path("/etc/terrace/box.json")
JOURNAL = Path("/var/lib/terrace/gpu/journal.jsonl")


def main(argv: list[str] | None = None) -> int:
    """0: a round was made, or this stack has no endpoint; 1: a person is needed; 5: interrupted."""
    parser = argparse.ArgumentParser(
        prog="terrace-gpu", description="One round of the GPU endpoint's controller."
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be set, and set nothing")
    parser.add_argument("--json", action="store_true", help="the round as JSON")
    parser.add_argument(
        "--facts", type=Path, default=BOX_FACTS, help="the box's facts (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    try:
        facts = json.loads(options.facts.read_text(encoding="utf-8"))
        naming, region = Naming(facts["project"], facts["stack"]), facts["region"]
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{options.facts} does not say whose box this is: {error}\n")
        return 1
    try:
        found = given(naming, region=region)
        api, jobs = clients(naming, found, region=region)
        controller = Controller(
            api,
            jobs,
            S3Store(found.bucket, region),
            Journal(JOURNAL),
            found.plan,
            found.policy,
            socket.gethostname(),
            time.time,
            clients=Inferences(),
            metrics=CloudWatch(naming.project, naming.stack, region),
            dry_run=options.dry_run,
        )
        made = controller.round()
    except NoEndpointError as error:
        # Between the box's birth and the first `up` with a key.
        sys.stdout.write(f"nothing to do: {error}\n")
        return 0
    except TerraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 5
    said = {"role": made.role, "said": made.said, "changed": made.changed, "metrics": made.metrics}
    sys.stdout.write((json.dumps(said) if options.json else f"{made.role}: {made.said}") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
