"""The only place that fetches AWS's public price list files: no credentials, one file for a service and region.

https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/SERVICE/current/REGION/index.csv (AWS Billing User Guide,
"Getting price list files manually"). The file of EC2 has hundreds of MB, so lines are handed on as they come.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.core.errors import Fault, TerraceError

ADDRESS = "https://pricing.us-east-1.amazonaws.com"
PATH = "/offers/v1.0/aws/{service}/current/{region}/index.csv"
TIMEOUT_SECONDS = 60.0
"""Without a byte for so long it is given up."""


class PriceList:
    """The files on the net."""

    def __init__(self, address: str = ADDRESS) -> None:
        self.address = address

    @contextmanager
    def lines(self, service: str, region: str) -> Generator[Iterable[str]]:
        """The lines of a service's file.

        Raises:
            TerraceError: no network, no such file, or a connection that ended before the file did.
        """
        url = self.address + PATH.format(service=service, region=region)
        try:
            with httpx.stream("GET", url, timeout=TIMEOUT_SECONDS, follow_redirects=True) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise TerraceError(
                        Fault(
                            service, f"{url} answered {answer.status_code}", "Look at the service and region"
                        )
                    )
                yield answer.iter_lines()
        except httpx.HTTPError as error:
            raise TerraceError(
                Fault(
                    service,
                    f"{url} cannot be read: {error or type(error).__name__}",
                    "Try again, or --from DIR",
                )
            ) from error


class PriceFiles:
    """The same files in a folder, as SERVICE.csv: fetched by hand where this machine has no route."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def lines(self, service: str, region: str) -> Generator[Iterable[str]]:
        """The lines of a service's file.

        Raises:
            TerraceError: it is not there, or cannot be read.
        """
        path = self.folder / f"{service}.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                yield file
        except (OSError, UnicodeDecodeError) as error:
            wanted = ADDRESS + PATH.format(service=service, region=region)
            raise TerraceError(
                Fault(str(path), f"cannot be read: {error}", f"Fetch it from {wanted}")
            ) from error
