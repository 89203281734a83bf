"""terrace-agents: the only place that gets Amazon's own agents, which Debian does not have.

Both packages lie in buckets of Amazon's, one for each region, and are read over HTTPS without credentials. Their
signatures are not checked: the key that signs the SSM agent is replaced every few years (Systems Manager User Guide,
"Verifying the signature of SSM Agent"), and one written down here would one day stop every new box.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.core.errors import Fault, TerraceError

from .system import Facts, command, facts, run, say

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Agent:
    """A package of Amazon's: its name, its unit, and where it lies for a region and an architecture."""

    package: str
    unit: str
    bucket: str
    key: str


# Systems Manager User Guide, "Manually installing SSM Agent on Debian Server instances"; CloudWatch User Guide,
# "Download the CloudWatch agent package". debian/arm64 is not among the latter's, ubuntu/arm64 is.
AGENTS = (
    Agent(
        "amazon-ssm-agent", "amazon-ssm-agent.service",
        "amazon-ssm-{region}", "latest/debian_{arch}/amazon-ssm-agent.deb",
    ),
    Agent(
        "amazon-cloudwatch-agent", "",
        "amazoncloudwatch-agent-{region}", "ubuntu/{arch}/latest/amazon-cloudwatch-agent.deb",
    ),
)  # fmt: skip
"""The CloudWatch agent is started by terrace-host with its configuration."""


def missing() -> list[Agent]:
    """The agents that are not installed."""
    names = [each.package for each in AGENTS]
    said = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], check=False)
    there = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [each for each in AGENTS if each.package not in there]


def provide(found: Facts) -> list[str]:
    """Installs what is missing; the packages that were installed. A package that does not lie there is said and left.

    Raises:
        TerraceError: a bucket could not be reached, or a package could not be installed: try again.
    """
    done: list[str] = []
    failed: list[str] = []
    arch = run(["dpkg", "--print-architecture"]).strip()
    for agent in missing():
        bucket, key = (each.format(region=found["region"], arch=arch) for each in (agent.bucket, agent.key))
        try:
            content = _read(found["region"], bucket, key)
            if content is None:
                say(f"{agent.package} is not at s3://{bucket}/{key}; the box goes on without it")
                continue
            with tempfile.NamedTemporaryFile(suffix=".deb") as file:
                file.write(content)
                file.flush()
                line = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-q", "install", "-y"]
                Path(file.name).chmod(0o644)
                run([*line, "--no-install-recommends", file.name], timeout_seconds=600)
            done.append(agent.package)
            if agent.unit:
                run(["systemctl", "enable", "-q", "--now", agent.unit])
        except Exception as error:  # noqa: BLE001 the other one is tried as well
            failed.append(
                f"{agent.package}: {error if isinstance(error, TerraceError) else type(error).__name__}"
            )
    if failed:
        raise TerraceError(Fault("agents", f"not installed: {'; '.join(failed)}", "Run terrace-agents again"))
    return done


def _read(region: str, bucket: str, key: str) -> bytes | None:
    """The package; None where the bucket says that there is none."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    config = Config(
        signature_version=UNSIGNED,
        connect_timeout=5,
        read_timeout=TIMEOUT_SECONDS,
        retries={"total_max_attempts": 2},
    )
    make: Any = boto3.client
    try:
        content: bytes = (
            make("s3", region_name=region, config=config).get_object(Bucket=bucket, Key=key)["Body"].read()
        )
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
            return None
        raise
    return content


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="terrace-agents", description=__doc__.split("\n")[0])
    parser.parse_args()

    def work() -> int:
        done = provide(facts())
        say(f"agents installed: {', '.join(done) or 'none that was not there'}")
        if done:
            run(["/usr/local/sbin/terrace-host", "install"], timeout_seconds=1800)
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
