"""Which records a person has to write where DNS is elsewhere, and how long that is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.stages import Option
from ops.names import Proof, Wanted, missing, serving, wait

DOMAIN = {"terrace:domain": "app.example.com"}
BOTH = {"option": Option.SPLIT.value, "eip": "198.51.100.7", "balancer": "b.elb.amazonaws.com"}
CNAME = Wanted("app.example.com", "CNAME", "b.elb.amazonaws.com", "to the load balancer")


class Told:
    """A resolver that says what it is told."""

    def __init__(self, **found: str) -> None:
        self.found = {name.replace("_", "."): value for name, value in found.items()}

    def addresses(self, name: str) -> frozenset[str]:
        return frozenset(self.found.get(name, "").split())


@pytest.mark.parametrize(
    ("outputs", "climb", "kind"),
    [
        (BOTH, None, "A"),
        (BOTH, {"to": "private", "phase": "expanded"}, "A"),
        (BOTH, {"to": "private", "phase": "moved"}, "CNAME"),
        ({**BOTH, "option": Option.PRIVATE.value}, None, "CNAME"),
        ({**BOTH, "option": Option.PRIVATE.value}, {"to": "split", "phase": "moved"}, "A"),
    ],
)
def test_the_name_leads_to_the_side_that_serves(outputs: dict[str, Any], climb: Any, kind: str) -> None:
    assert serving(outputs, {**DOMAIN, "terrace:climb": climb}).kind == kind


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "is not set"), ({**DOMAIN, "terrace:dns": {"zoneId": "Z"}}, "Pulumi writes the records")],
)
def test_where_there_is_nothing_to_write_that_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(TerraceError, match=said):
        serving(BOTH, settings)


def test_a_record_is_there_when_the_name_has_the_addresses_of_what_it_is_to_lead_to() -> None:
    balancer = "192.0.2.1 192.0.2.2"
    assert missing(CNAME, None, Told(app_example_com="192.0.2.1", b_elb_amazonaws_com=balancer)) == []
    assert missing(CNAME, None, Told(app_example_com="198.51.100.7", b_elb_amazonaws_com=balancer)) == [CNAME]
    assert missing(CNAME, None, Told(b_elb_amazonaws_com=balancer)) == [CNAME]


def test_the_certificates_proof_comes_first_and_goes_once_it_is_issued() -> None:
    there = Told(app_example_com="192.0.2.1", b_elb_amazonaws_com="192.0.2.1")
    (proof,) = missing(CNAME, Proof("_x.app.example.com", "_y.acm-validations.aws", issued=False), there)
    assert (proof.name, proof.kind, proof.value) == ("_x.app.example.com", "CNAME", "_y.acm-validations.aws")
    assert missing(CNAME, Proof("_x.app.example.com", "_y.acm-validations.aws", issued=True), there) == []


def test_it_waits_until_nothing_is_missing_and_says_what_is_when_the_time_is_over() -> None:
    left, clock = [[CNAME], [CNAME], []], [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    wait(lambda: left.pop(0), seconds=3600, sleep=sleep, now=lambda: clock[0])
    assert clock[0] == 30
    with pytest.raises(
        TerraceError, match=r"app\.example\.com has no CNAME b\.elb|app\.example\.com.*no CNAME"
    ):
        wait(lambda: [CNAME], seconds=60, sleep=sleep, now=lambda: clock[0])
