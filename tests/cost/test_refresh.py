"""A price book made new from price list files. Every price, SKU and version in here is made up."""

from __future__ import annotations

import csv
import http.server
import io
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.core.errors import TerraceError
from infra.core.prices import book_names, load, parsed, read
from infra.core.prices.offers import read_offer, selector, services
from ops import cost
from ops.adapters.price_list import PATH, PriceFiles, PriceList

ROOT = Path(__file__).parents[2]
COLUMNS = (
    "SKU", "OfferTermCode", "RateCode", "TermType", "PriceDescription", "EffectiveDate", "StartingRange",
    "EndingRange", "Unit", "PricePerUnit", "Currency", "Instance Type", "Tenancy", "Operating System",
    "Pre Installed S/W", "CapacityStatus", "Database Engine", "Deployment Option", "usageType", "operation",
)  # fmt: skip
LINUX = {
    "Operating System": "Linux", "Tenancy": "Shared", "Pre Installed S/W": "NA", "CapacityStatus": "Used",
    "operation": "RunInstances",
}  # fmt: skip


def line(usage: str, price: str, unit: str = "Hrs", **more: str) -> dict[str, str]:
    made = {
        "SKU": "MADEUP0000000001", "TermType": "OnDemand", "StartingRange": "0", "EndingRange": "Inf", "Unit": unit,
        "PricePerUnit": price, "Currency": "USD", "usageType": usage,
    }  # fmt: skip
    return {**made, **more}


def offer(service: str, *lines: dict[str, str], published: str = "2099-01-02T03:04:05Z") -> str:
    """A file as the user guide describes it: five rows about the file, the columns' names, a row for each price."""
    text = io.StringIO()
    rows = csv.writer(text, quoting=csv.QUOTE_ALL)
    rows.writerows(
        [
            ["FormatVersion", "v1.0"], ["Disclaimer", "made up"], ["Publication Date", published],
            ["Version", "20990102030405"], ["OfferCode", service], COLUMNS,
        ]
    )  # fmt: skip
    rows.writerows([[each.get(name, "") for name in COLUMNS] for each in lines])
    return text.getvalue()


EC2 = offer(
    "AmazonEC2",
    line("APN2-BoxUsage:t4g.large", "0.9000000000", **LINUX),
    line("APN2-BoxUsage:t4g.large", "5.5", **{**LINUX, "Operating System": "Windows"}),
    line("APN2-BoxUsage:t4g.large", "0.1", TermType="Reserved", **LINUX),
    line("APN2-BoxUsage:t4g.small", "0.0208000000", **LINUX),
    line("APN2-EBS:VolumeUsage.gp3", "0.0950000000", "GB-Mo"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "AmazonEC2.csv").write_text(EC2)
    return tmp_path


def test_a_book_made_new_has_what_moved_with_sku_and_date_and_keeps_the_rest_with_its_own(
    folder: Path,
) -> None:
    made = cost.refresh("seoul-2026-10", PriceFiles(folder))
    assert [(each.key, each.after) for each in made.moved] == [
        ("ec2.t4g.large", Decimal("0.9")), ("ebs.gp3", Decimal("0.095")),
    ]  # fmt: skip
    assert made.name == "seoul-2099-01"
    book = read(parsed(made.text, where="new"), where="new")
    large, kept = book["ec2.t4g.large"], book["kms.key"]
    assert (large.usd, large.sku, large.as_of) == (Decimal("0.9"), "MADEUP0000000001", date(2099, 1, 2))
    assert "AWS Price List, AmazonEC2, ap-northeast-2, version 20990102030405" in large.source
    assert (kept.usd, kept.as_of) == (load()["kms.key"].usd, load().as_of)
    assert set(book.prices) >= set(
        read(
            parsed((ROOT / "infra/core/prices/seoul-2026-10.yaml").read_text(), where="old"), where="old"
        ).prices
    )


def test_a_service_whose_file_is_missing_keeps_its_prices_and_is_named(folder: Path) -> None:
    made = cost.refresh("seoul-2026-10", PriceFiles(folder))
    assert any(
        "AmazonRDS.csv" in each and "offers/v1.0/aws/AmazonRDS/current/ap-northeast-2" in each
        for each in made.left
    )
    assert any(each.startswith("ec2.m6g.large is not in the file") for each in made.left)


def test_without_any_file_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(TerraceError, match="No price list file could be read; nothing was written"):
        cost.refresh("seoul-2026-10", PriceFiles(tmp_path))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [line("APN2-NatGateway-Hours", "0.1", "Quantity")],
            "nat is priced for 'Quantity' where 'Hrs' was expected",
        ),
        ([line("APN2-NatGateway-Hours", "cheap")], "nat has 'cheap' as its price"),
        ([line("APN2-NatGateway-Hours", "0.0000000000")], "nat has a line that costs nothing"),
        ([line("APN2-NatGateway-Hours", "0.1"), line("APN2-NatGateway-Hours", "0.2")], "nat has two prices"),
        ([line("APN2-NatGateway-Hours", "0.1", Currency="CNY")], "nat is not in the file"),
        ([line("APN2-NatGateway-Hours", "0.1", StartingRange="100")], "nat is not in the file"),
    ],
)
def test_a_line_that_is_not_clearly_the_price_is_not_taken(lines: list[dict[str, str]], said: str) -> None:
    found = read_offer(io.StringIO(offer("AmazonEC2", *lines)), ["nat"], where="AmazonEC2")
    assert found.found == {}
    assert said in found.problems[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks the column"),
        (EC2[:120], "lacks the column"),
        (EC2.replace("PricePerUnit", "Price"), "lacks the column.s. PricePerUnit"),
        (offer("AmazonEC2", published="soon"), "bears 'soon' as its date"),
    ],
)
def test_a_file_of_another_form_is_refused(text: str, said: str) -> None:
    with pytest.raises(TerraceError, match=said):
        read_offer(io.StringIO(text), ["nat"], where="AmazonEC2")


def test_prices_by_the_piece_are_brought_to_the_books_unit() -> None:
    text = offer("AmazonS3", line("APN2-Requests-Tier1", "0.0000045000", "Requests"))
    assert read_offer(io.StringIO(text), ["s3.put"], where="AmazonS3").found["s3.put"].usd == Decimal(
        "0.0045"
    )


def test_a_cut_last_line_costs_its_own_price_alone(folder: Path) -> None:
    (folder / "AmazonEC2.csv").write_text(EC2[:-40])
    made = cost.refresh("seoul-2026-10", PriceFiles(folder))
    assert [each.key for each in made.moved] == ["ec2.t4g.large"]
    assert "ebs.gp3 is not in the file" in made.left


def test_every_usage_type_that_the_book_has_seen_is_the_one_that_the_files_are_searched_for() -> None:
    seen = [(selector(key), price) for key, price in load().prices.items() if price.usage_type]
    both = [(wanted, price) for wanted, price in seen if wanted is not None]
    assert len(both) > 20
    assert [price.key for wanted, price in both if wanted.usage_type not in price.usage_type] == []


@contextmanager
def served(answers: Mapping[str, bytes], *, cut: int = 0) -> Generator[str]:
    """A price list on this machine; with `cut`, each answer promises more bytes than it has."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"") + cut))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_files_are_read_from_the_net_and_one_that_ends_early_is_not_taken_for_whole() -> None:
    answers: dict[str, bytes] = {PATH.format(service="AmazonEC2", region="ap-northeast-2"): EC2.encode()}
    with served(answers) as address:
        made = cost.refresh("seoul-2026-10", PriceList(address))
    assert len(made.moved) == 2
    assert any("answered 404" in each for each in made.left)
    with served(answers, cut=10) as address, pytest.raises(TerraceError, match="cannot be read"):
        cost.refresh("seoul-2026-10", PriceList(address))


def test_where_nobody_answers_the_remedy_is_named() -> None:
    with pytest.raises(TerraceError, match="Is there a network"):
        cost.refresh("seoul-2026-10", PriceList("http://127.0.0.1:9"))


def test_the_command_writes_nothing_unasked_and_never_changes_a_book_that_stands(folder: Path) -> None:
    def run(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts/cost.py"), "book", "refresh", "--from", str(folder), *arguments],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    before = book_names()
    code, shown, said = run()
    assert (code, "ec2.t4g.large" in shown) == (1, True)
    assert "Nothing was changed" in said
    code, _, said = run("--yes", "--name", "seoul-2026-10")
    assert code == 1
    assert "is another book already" in said
    code, _, said = run("--yes", "--name", "../elsewhere")
    assert code == 1
    assert "is no name" in said
    book_names.cache_clear()
    assert book_names() == before


def test_each_service_is_asked_once() -> None:
    assert list(services(["nat", "ebs.gp3", "alb", "gpu.l4.flex"])) == ["AWSELB", "AmazonEC2"]
