"""What the box's programs write, and what of it a log may see."""

from __future__ import annotations

import base64
import hmac
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.core.memory import budget
from infra.core.naming import UNSET
from infra.core.release import Part
from infra.host.box import install, nginx, postgresql, settings, units
from infra.host.box.deploy.model import Instance


def test_a_passwords_verifier_signs_as_the_rfcs_own_example_does() -> None:
    nonce, salt = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ=="
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}"
    made = postgresql.verifier("pencil", salt=base64.b64decode(salt), iterations=4096)
    server_key = base64.b64decode(made.rpartition(":")[2])
    signature = base64.b64encode(hmac.digest(server_key, message.encode(), "sha256")).decode()
    assert signature == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "RFC 7677, section 3"


def test_a_verifier_is_known_again_and_another_passwords_is_not() -> None:
    kept = postgresql.verifier("one")
    assert postgresql.matches("one", kept)
    assert not postgresql.matches("two", kept)
    assert not postgresql.matches("one", "")
    assert "one" not in kept


@pytest.mark.parametrize("secret", ["päss", "a\nb"])
def test_a_password_that_would_have_to_be_prepared_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        postgresql.verifier(secret)


class Writes:
    """As much of SSM as says who writes."""

    class exceptions:  # noqa: N801 as boto3 has it
        ParameterNotFound = KeyError

    def __init__(self, value: str | None) -> None:
        self._value = value

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:  # noqa: N803 as boto3 has them
        if self._value is None:
            raise KeyError(Name)
        return {"Parameter": {"Value": self._value}}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "create role app login;"),
        (UNSET, "create role app login;"),
        ('{"epoch": 2, "end": "box", "host": "", "port": 5432}', "create role app login;"),
        ('{"epoch": 1, "end": "rds", "host": "rds.mock", "port": 5432}', "create role app nologin;"),
    ],
    ids=["no RDS", "RDS is new", "moved back", "RDS writes"],
)
def test_a_box_made_while_rds_writes_lets_no_application_in(
    monkeypatch: pytest.MonkeyPatch, record: str | None, said: str
) -> None:
    asked: list[str] = []

    def sql(query: str, database: str = "postgres") -> str:
        asked.append(query)
        return ""

    monkeypatch.setattr(postgresql, "client", lambda *_: Writes(record))
    monkeypatch.setattr(postgresql, "password", lambda *_, **__: "one")
    monkeypatch.setattr(postgresql, "sql", sql)
    postgresql.provide({"parameters": "/terrace/dev"})
    assert said in asked[0]
    assert not [each for each in asked[1:] if "login" in each]


class Ssm:
    """As much of SSM as the settings ask of it."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get_paginator(self, _: str) -> Ssm:
        return self

    def paginate(self, *, Path: str, WithDecryption: bool) -> list[dict[str, Any]]:  # noqa: N803 boto3's names
        assert WithDecryption
        return [
            {"Parameters": [{"Name": f"{Path}/{name}", "Value": text} for name, text in self.values.items()]}
        ]


def test_a_password_that_the_box_makes_up_lies_under_the_stacks_own_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: dict[str, Any] = {}
    monkeypatch.setattr(settings, "parameter", lambda *_: "unset")
    monkeypatch.setattr(settings, "client", lambda *_: SimpleNamespace(put_parameter=kept.update))
    made = settings.password({"parameters": "/terrace/dev", "key_arn": "arn:ours"}, may_make=True)
    assert (kept["Value"], kept["Type"], kept["KeyId"]) == (made, "SecureString", "arn:ours")


def test_a_setting_without_a_variables_name_is_left_out_and_its_value_said_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"GOOD": "g", "bad-name": "sentinel", "2nd": "sentinel", "LATER": "unset"}
    monkeypatch.setattr(settings, "client", lambda *_: Ssm(told))
    assert settings.application({"parameters": "/terrace/dev"}) == {"GOOD": "g"}
    said = capsys.readouterr().err
    assert "/terrace/dev/app/bad-name" in said
    assert "/terrace/dev/app/LATER" in said
    assert "sentinel" not in said


def test_values_keep_what_systemd_would_read_otherwise() -> None:
    assert settings.render({"A": 'q"$x`\\'}) == 'A="q\\"\\$x\\`\\\\"\n'


def test_nginx_logs_no_user_field_but_a_hash_and_hides_it_from_the_client() -> None:
    text = nginx.site("single", "example.com")
    assert '"user":"$terrace_user"' in text
    assert '"~^[0-9a-f]{16,64}$" $upstream_http_x_terrace_user' in text
    assert "proxy_hide_header X-Terrace-User;" in text


def test_behind_a_load_balancer_the_client_is_whom_the_balancer_names() -> None:
    assert "set_real_ip_from 10.20.0.0/16;" in nginx.site("frontend", "", real_ip_from="10.20.0.0/16")
    assert "set_real_ip_from" not in nginx.site("single", "")


@pytest.mark.parametrize("ram_mib", [7_600, 7_800, 8_192])
def test_one_more_backend_fits_an_8_gb_machine_as_its_kernel_counts_it(ram_mib: int) -> None:
    assert budget("single", ram_mib).side_by_side("backend") == 2


@pytest.mark.parametrize("part", Part)
def test_a_part_writes_where_a_failed_deploy_says_that_its_log_lies(part: Part) -> None:
    text = units.units(budget("single", 7600))[f"terrace-{part.value}@.service"]
    assert f"StandardOutput=append:{Instance(part, 8080).log}\n" in text


def test_logs_are_looked_at_every_hour_and_each_block_bounds_what_it_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: dict[str, str] = {}
    ran: list[list[str]] = []

    def write(path: Path, text: str) -> bool:
        changed = written.get(str(path)) != text
        written[str(path)] = text
        return changed

    monkeypatch.setattr(install, "write", write)
    monkeypatch.setattr(install, "run", lambda argv, **_: ran.append(argv))
    box = install.Install({"role": "frontend", "domain": ""}, budget("frontend", 1900))
    box.upkeep()
    timer = written["/etc/systemd/system/logrotate.timer.d/terrace.conf"].splitlines()
    assert timer[:3] == ["[Timer]", "OnCalendar=", "OnCalendar=hourly"], (
        "the day's own line is taken away first"
    )
    assert ran[:2] == [["systemctl", "daemon-reload"], ["systemctl", "restart", "logrotate.timer"]]
    blocks = written["/etc/logrotate.d/terrace"].split("\n}\n")[:-1]
    assert len(blocks) == 2
    assert all("    maxsize 50M\n" in each and "    rotate 7\n" in each for each in blocks)
    ran.clear()
    box.upkeep()
    assert ["systemctl", "restart", "logrotate.timer"] not in ran, "a second run changes nothing"
