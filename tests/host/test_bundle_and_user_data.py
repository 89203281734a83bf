"""What a box is told and given: small, the same everywhere, and without a secret."""

from __future__ import annotations

import ast
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from infra.core.memory import BoxRole, budget
from infra.host import bundle
from infra.host.box import certificate, fetch, nginx, postgresql, settings, units, upstream
from infra.host.user_data import MOST_BYTES, user_data

ALLOWED_KEYS = {"write_files", "runcmd", "bootcmd"}
ROLES: list[BoxRole] = ["single", "frontend", "backend"]


def names() -> list[str]:
    return tarfile.open(fileobj=io.BytesIO(bundle.build().content)).getnames()


def test_user_data_uses_few_keys_and_says_only_whose_box_it_is() -> None:
    text = user_data(region="ap-northeast-2", parameters="/terrace/dev", role="single")
    config = yaml.safe_load(text)
    assert set(config) == ALLOWED_KEYS
    assert len(text.encode()) <= MOST_BYTES
    told = next(each for each in config["write_files"] if each["path"] == "/etc/terrace/told.json")
    assert json.loads(told["content"]) == {
        "parameters": "/terrace/dev", "region": "ap-northeast-2", "role": "single",
    }  # fmt: skip


def test_a_new_bundle_changes_no_byte_of_user_data(tmp_path: Path) -> None:
    text = user_data(region="ap-northeast-2", parameters="/terrace/dev", role="single")
    assert bundle.build().version not in text
    assert bundle.build().sha256 not in text


def test_the_bundle_is_the_same_bytes_each_time_and_changes_with_a_program(tmp_path: Path) -> None:
    def packed(text: str) -> bundle.Bundle:
        (tmp_path / bundle.ROOM).mkdir(parents=True, exist_ok=True)
        (tmp_path / bundle.ROOM / "mount.py").write_text(text, encoding="utf-8")
        bundle.build.cache_clear()
        return bundle.build(tmp_path)

    first, second, third = packed("a = 1\n"), packed("a = 1\n"), packed("a = 2\n")
    bundle.build.cache_clear()
    assert first.sha256 == second.sha256 != third.sha256


def test_every_wrapper_leads_to_a_program_that_is_in_the_bundle() -> None:
    held = set(names())
    for name, module in bundle.ENTRY_POINTS.items():
        assert f"bin/{name}" in held
        path = "lib/" + module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__main__.py"} & held, module


def test_the_programs_import_only_what_the_bundle_carries() -> None:
    carried = {name.removeprefix("lib/") for name in names()}
    wrong = []
    held = [*(bundle.ROOT / bundle.ROOM).rglob("*.py"), *(bundle.ROOT / name for name in bundle.CARRIED)]
    for path in sorted(each for each in held if each.exists()):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                top, file = module.split(".")[0], module.replace(".", "/")
                ours = top == "infra" and {f"{file}.py", f"{file}/__init__.py"} & carried
                if not (ours or top in {*sys.stdlib_module_names, "boto3", "botocore"}):
                    wrong.append(f"{path.name} imports {module}")
    assert wrong == []


def test_a_bundle_that_is_not_what_was_told_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cloud:
        def __init__(self, service: str) -> None:
            self.service = service

        def get_parameter(self, Name: str) -> dict[str, object]:  # noqa: N803 boto3's own spelling
            named = {"version": "abc", "bucket": "b", "key": "host/abc.tar", "sha256": "0" * 64}
            return {"Parameter": {"Value": json.dumps(named)}}

        def get_object(self, Bucket: str, Key: str) -> dict[str, object]:  # noqa: N803
            return {"Body": io.BytesIO(b"something else")}

    import boto3

    monkeypatch.setattr(boto3, "client", lambda service, **_: Cloud(service))
    monkeypatch.setattr(fetch, "HOME", tmp_path)
    with pytest.raises(ValueError, match=r"has SHA-256 .* and 0{64} was told"):
        fetch.fetch({"parameters": "/terrace/dev", "region": "ap-northeast-2"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("packaged", "expected"), [("0.8.0-2", True), ("0.8.1", True), ("0.8.2-1", False), ("0.10.0", False)]
)
def test_parallel_index_builds_are_off_until_pgvector_is_mended(packaged: str, expected: bool) -> None:
    text = postgresql.configuration(budget("single", 8192), packaged)
    assert ("max_parallel_maintenance_workers = 0" in text) == expected
    assert "shared_buffers = 512MB\n" in text
    assert "wal_level = logical\n" in text


def test_what_the_application_is_told_survives_systemds_quoting() -> None:
    assert settings.render({"A": 'x"y\\z', "B": "$HOME `w`"}) == 'A="x\\"y\\\\z"\nB="\\$HOME \\`w\\`"\n'


def test_a_role_has_the_units_and_the_ways_of_its_own_parts_alone() -> None:
    single, front, back = (set(units.units(budget(role, 8192))) for role in ROLES)
    assert {"terrace-backend@.service", "terrace-frontend@.service", "terrace-data.service"} <= single
    assert "terrace-backend@.service" not in front
    assert not {"terrace-frontend@.service", "terrace-data.service"} & back
    assert {"terrace-upstream.service", "terrace-upstream.timer"} <= front - back - single
    assert "http://frontend" not in nginx.site("backend", "")
    assert "listen 443" not in nginx.site("backend", "")


def test_a_frontend_takes_the_backend_of_its_own_subnet_and_answers_at_once_while_there_is_none() -> None:
    both = ["10.20.64.7", "10.20.0.9"]
    assert upstream.mine(both, "10.20.0.0/20") == "10.20.0.9"
    assert upstream.mine(both, "10.20.64.0/20") == "10.20.64.7"
    assert upstream.mine(both, "10.20.128.0/20") == ""
    assert "server 10.20.0.9:8090;" in upstream.render("10.20.0.9")
    assert " down;" in upstream.render("")


def test_a_frontend_behind_the_load_balancer_asks_for_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        "domain": "app.example.com", "role": "frontend", "certificate": "production",
        "balanced_subnets": ["10.20.64.0/20"],
    }  # fmt: skip
    for subnet, wanted in (("10.20.0.0/20", True), ("10.20.64.0/20", False)):
        monkeypatch.setattr(certificate, "own_subnet", lambda subnet=subnet: subnet)
        assert certificate.wanted(facts) == wanted
    assert not certificate.wanted({**facts, "role": "backend"})


def test_a_browser_is_told_to_insist_on_https_only_where_there_is_a_name() -> None:
    assert "max-age=0" in nginx.site("single", "")
    assert "max-age=31536000" in nginx.site("single", "app.example.com")


def test_the_load_balancers_own_word_is_believed_only_from_its_addresses() -> None:
    assert "real_ip" not in nginx.site("single", "")
    assert "set_real_ip_from 10.20.0.0/16;" in nginx.site("single", "", real_ip_from="10.20.0.0/16")
