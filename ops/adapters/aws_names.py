"""The ports of names: certificates by ACM, addresses by this machine's resolver."""

from __future__ import annotations

import socket
from typing import Any

import boto3

from infra.core.errors import Fault, TerraceError
from ops.adapters.aws import TIMEOUTS, speaking
from ops.names import Proof


class AcmCertificates:
    """ACM in one region."""

    def __init__(self, region: str) -> None:
        make: Any = boto3.client
        self._acm = make("acm", region_name=region, config=TIMEOUTS)

    def proof(self, arn: str) -> Proof:
        """The DNS proof of its first name."""
        with speaking("ACM"):
            found = self._acm.describe_certificate(CertificateArn=arn)["Certificate"]
        options = found.get("DomainValidationOptions") or [{}]
        record = options[0].get("ResourceRecord")
        issued = found["Status"] == "ISSUED"
        if record is None and not issued:
            raise TerraceError(
                Fault(
                    arn,
                    f"is {found['Status']} and shows no proof yet",
                    "Wait a minute; it wants DNS validation",
                )
            )
        record = record or {"Name": "", "Value": ""}
        return Proof(str(record["Name"]).rstrip("."), str(record["Value"]).rstrip("."), issued)


class SystemResolver:
    """The resolver of this machine, with the time to live that it honours."""

    def addresses(self, name: str) -> frozenset[str]:
        """IPv4 addresses; empty where there are none."""
        try:
            return frozenset(str(each[4][0]) for each in socket.getaddrinfo(name, 443, family=socket.AF_INET))
        except socket.gaierror:
            return frozenset()
