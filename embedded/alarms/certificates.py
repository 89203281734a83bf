"""The only place for what ACM tells CloudWatch: the days until each issued certificate expires.

Twice a day and not after its last day, as on AWS (infra/core/metrics.py, BALANCER_CERTIFICATE). Unlike on AWS nothing
renews a certificate here: one of moto's is good for a year.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.aws.environment import ACCOUNT_ID
from embedded.aws.world import WORLD

NAMESPACE, METRIC, DIMENSION = "AWS/CertificateManager", "DaysToExpiry", "CertificateArn"
EVERY = timedelta(hours=12)


@dataclass(slots=True)
class Certificates:
    """The certificates of one region, and when each was told of last."""

    region: str
    _told: dict[str, datetime] = field(default_factory=dict)

    def tell(self, metrics: Any, now: datetime) -> None:
        """Puts what is due into moto's CloudWatch; under the world's lock."""
        for arn, ends in self._issued():
            last = self._told.get(arn)
            if ends <= now or (last is not None and now - last < EVERY):
                continue
            self._told[arn] = now
            # UTC without a zone, as moto keeps what PutMetricData brings.
            datum = {
                "MetricName": METRIC, "Dimensions": [{"Name": DIMENSION, "Value": arn}], "Unit": "Count",
                "Value": (ends - now) // timedelta(days=1), "Timestamp": now.replace(tzinfo=None),
            }  # fmt: skip
            metrics.put_metric_data(NAMESPACE, [datum])
            WORLD.note_change()

    def _issued(self) -> Iterator[tuple[str, datetime]]:
        from moto.acm.models import acm_backends

        for arn, found in list(acm_backends[ACCOUNT_ID][self.region]._certificates.items()):
            found.check()
            if found.status == "ISSUED":
                yield arn, found._not_valid_after(found._cert).replace(tzinfo=UTC)
