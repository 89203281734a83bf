"""scripts/cost.py: what it answers, against sums written out by hand from the books; and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.core.cost import (
    DEFAULT,
    UNKNOWN,
    Basis,
    Resource,
    Span,
    Usage,
    price_stack,
    rounded,
    stage_cost,
    stage_resources,
    together,
)
from infra.core.cost.capacity import SCENARIOS, first_stage_for, requests_per_day, single_box_rps
from infra.core.cost.deviations import deviations
from infra.core.cost.gpu import Assumptions, Way, active_month, crossing, crossings, point
from infra.core.cost.platforms import platform_costs
from infra.core.cost.sizing import break_even
from infra.core.cost.usage import Use
from infra.core.errors import TerraceError
from infra.core.gpu.modes import Envelope, IdleTimeouts, Wanted
from infra.core.prices import load
from infra.core.prices.age import age_faults, stack_faults
from infra.core.stages import LADDER, Option, listed
from ops import cost
from tests.report.support import preview, update

ROOT = Path(__file__).parents[2]
SEOUL, DOCUMENT, US_EAST_1 = load("seoul-2026-10"), load("document"), load("us-east-1")
PRICED = [stage for stage in LADDER if stage.option is not Option.ELASTIC]

MICRO = {"instanceClass": "db.t4g.micro", "storageType": "gp3", "allocatedStorage": 20}
ROOT_20, ROOT_30 = ({"rootBlockDevice": {"volumeSize": size, "volumeType": "gp3"}} for size in (20, 30))

GPU = "pulumi-python:dynamic/gpu:Endpoint"


def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    """scripts/cost.py, in this process."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    if (known := sys.modules.get("terrace_scripts_cost")) is None:
        spec = importlib.util.spec_from_file_location("terrace_scripts_cost", ROOT / "scripts" / "cost.py")
        assert spec is not None
        assert spec.loader is not None
        known = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(known)
    return known.app


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "cost.py"), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_documents_own_totals_come_out_of_its_book() -> None:
    amounts = {
        name: round(stage_cost(listed(name), DOCUMENT).compared) for name in ("single-8g", "split", "private")
    }
    assert amounts == {"single-8g": 61, "split": 47, "private": 102}
    both, railway = platform_costs(DOCUMENT)
    assert round(both.total.likely) == 80
    assert (round(railway.total.low), round(railway.total.high)) == (85, 90)
    assert active_month(DOCUMENT) == Decimal(343)


def test_requests_a_second_are_the_documents() -> None:
    daily = requests_per_day(Decimal(60))
    assert daily == 600
    assert [f"{each.qps(daily):.2g}" for each in SCENARIOS] == ["0.0069", "0.029", "0.067", "0.17"]
    assert [round(each) for each in single_box_rps()] == [67, 267]


def test_the_fixed_type_pays_above_the_seoul_break_even_that_the_ladder_names() -> None:
    # (0.094 - 0.0832) / (0.04 x 2) = 13.5 points above the baseline of 30
    found = break_even("t4g.large", "m6g.large", SEOUL)
    assert found.cpu_percent == Decimal("43.5")


def test_a_way_of_having_a_gpu_that_always_runs_costs_the_same_at_any_load_that_one_carries() -> None:
    assumed = Assumptions()
    few, many = (point(SEOUL, assumed, Decimal(per_day)) for per_day in (10, 2_000))
    # 0.00019 x 3 600 x 730
    assert few.monthly[Way.ACTIVE] == many.monthly[Way.ACTIVE] == Decimal("499.32")
    assert few.monthly[Way.FLEX] < many.monthly[Way.FLEX] < many.monthly[Way.ACTIVE]


def test_flex_never_overtakes_active_at_one_price_a_second_and_does_at_the_documents_two() -> None:
    assumed = Assumptions()
    assert crossing(SEOUL, assumed, Way.FLEX, Way.ACTIVE).per_day is None
    two = replace(SEOUL, prices={**SEOUL.prices, "gpu.l4.active": DOCUMENT["gpu.l4.active"]})
    turned = crossing(two, assumed, Way.FLEX, Way.ACTIVE).per_day
    assert turned is not None
    # A second of flex is the dearer one: it loses where its worker lives for more than 0.00013 / 0.00019 of the time.
    for per_day, dearer in ((turned, True), (turned - 1, False)):
        alive = point(two, assumed, per_day).monthly[Way.FLEX] / Decimal("499.32")
        assert (alive > Decimal(13) / 19) is dearer


def test_where_one_way_of_having_a_gpu_becomes_dearer_than_another_in_each_book() -> None:
    found = {
        book.name: [
            (each.dearer, each.cheaper, None if each.per_day is None else int(each.per_day))
            for each in crossings(book, Assumptions())
        ]
        for book in (SEOUL, US_EAST_1)
    }
    never = [(Way.API, Way.ACTIVE, None), (Way.API, Way.FLEX, None)]
    assert found == {
        "seoul-2026-10": [
            (Way.FLEX, Way.ACTIVE, None), (Way.FLEX, Way.AWS, 10388), (Way.SOFT, Way.AWS, 474), *never,
        ],
        "us-east-1": [
            (Way.FLEX, Way.ACTIVE, None), (Way.FLEX, Way.AWS, 1896), (Way.SOFT, Way.AWS, 209), *never,
        ],
    }  # fmt: skip
    for book in (SEOUL, US_EAST_1):
        for each in crossings(book, Assumptions()):
            days = (each.per_day, each.per_day - 1) if each.per_day else (each.up_to,)
            gaps = [
                (at := point(book, Assumptions(), day)).monthly[each.dearer] > at.monthly[each.cheaper]
                for day in days
            ]
            assert gaps == ([True, False] if each.per_day else [False])


def test_where_the_document_contradicts_itself_or_the_price_list_is_said_with_cause_and_figure() -> None:
    found = {each.where: (each.says, each.found) for each in deviations(DOCUMENT, US_EAST_1, SEOUL)}
    assert found == {
        "E.2, E.6: t4g.large in Seoul": ("0.0672 an hour, ~49", "0.0832 an hour, 60.74"),  # 0.0832 x 730
        "E.6: Option A in all": ("~61", "60.71 in us-east-1, 73.51 in Seoul"),  # 60.736 + 9.12 + 3.65
        "E.5: gp3 100 GB": ("~11.40 (0.114 a GB)", "9.12 (0.0912 a GB)"),
        "F.2: m6g.xlarge": (
            "~140, without lines",
            "124.07 in us-east-1, 150.01 in Seoul",
        ),  # 137.24 + 9.12 + 3.65
        "D.2: Option B": ("~47", "49.01 in us-east-1, 62.19 in Seoul"),
        "D.2: Option C": ("~102", "101.93 in us-east-1, 125.33 in Seoul"),
        "C.1 against C.4: RunPod, always on": (
            "50 to 100 in the table of ways, ~343 in the table of workers",
            "499.32 by the list price, 341.64 by the document's 0.00013",
        ),
        "C.4: 343 a month": ("0.47 an hour x 730", "341.64"),  # 0.00013 x 3 600 x 730
    }
    assert all(each.cause for each in deviations(DOCUMENT, US_EAST_1, SEOUL))


@pytest.mark.parametrize("stage", PRICED, ids=lambda stage: stage.name)
def test_a_stages_fixed_lines_are_the_same_by_resource_and_by_part(stage: Any) -> None:
    by_resource = price_stack(stage_resources(stage), SEOUL)
    assert by_resource.fixed == stage_cost(stage, SEOUL).fixed


@pytest.mark.parametrize("stage", PRICED, ids=lambda stage: stage.name)
def test_use_is_a_range_with_a_reason_and_never_nothing_for_not_knowing(stage: Any) -> None:
    for line in price_stack(stage_resources(stage), SEOUL).lines:
        if line.basis is Basis.ASSUMED:
            assert line.component.why
            # Surplus credits follow from the CPU, which is assumed: below the baseline there are none.
            assert line.component.quantity.high > 0 or line.component.key == "ec2.surplus-credit"


def test_a_kind_without_a_price_is_named_with_its_urn_and_not_taken_for_free() -> None:
    strange = Resource("urn:pulumi:dev::terrace::aws:sagemaker/model:Model::m", "aws:sagemaker/model:Model")
    with pytest.raises(TerraceError, match="neither priced nor on the list of free kinds") as refused:
        price_stack([strange], SEOUL)
    assert refused.value.faults[0].path == strange.urn


def test_a_size_that_only_the_update_will_tell_is_named() -> None:
    volume = Resource("urn::x::v", "aws:ebs/volume:Volume", {"type": "gp3", "size": UNKNOWN})
    with pytest.raises(TerraceError, match="size is known only after the update"):
        price_stack([volume], SEOUL)


@pytest.mark.parametrize(
    ("token", "inputs", "monthly"),
    [
        ("aws:ec2/instance:Instance", {"instanceType": "t4g.large", **ROOT_20}, "62.56"),  # 60.736 + 1.824
        ("aws:ec2/instance:Instance", {"instanceType": "m6g.large", **ROOT_30}, "71.36"),  # 68.62 + 2.736
        ("aws:ebs/volume:Volume", {"type": "gp3", "size": 100}, "9.12"),
        ("aws:ebs/volume:Volume", {"type": "gp3", "size": 100, "iops": 4000}, "14.82"),  # + 1 000 x 0.0057
        ("aws:ebs/volume:Volume", {"size": 100}, "11.40"),  # gp2
        ("aws:ec2/eip:Eip", {}, "3.65"),
        ("aws:ec2/natGateway:NatGateway", {}, "43.07"),
        ("aws:lb/loadBalancer:LoadBalancer", {"subnets": ["a", "b"]}, "23.73"),  # 16.425 + 7.30
        ("aws:lb/loadBalancer:LoadBalancer", {"subnets": ["a", "b"], "internal": True}, "16.43"),
        ("aws:rds/instance:Instance", MICRO, "20.87"),  # 18.25 + 2.62
        ("aws:rds/instance:Instance", {**MICRO, "multiAz": True}, "42.47"),  # 37.23 + 5.24
        ("aws:rds/instance:Instance", {**MICRO, "manageMasterUserPassword": True}, "21.27"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Interface", "subnetIds": ["a", "b"]}, "18.98"),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Gateway"}, "0.00"),
        ("aws:kms/key:Key", {}, "1.00"),
        ("aws:wafv2/webAcl:WebAcl", {"rules": [{}, {}]}, "7.00"),
    ],
)  # fmt: skip
def test_a_resources_fixed_price_is_the_sum_written_out_by_hand(
    token: str, inputs: dict[str, Any], monthly: str
) -> None:
    assert str(price_stack([Resource("urn::x::r", token, inputs)], SEOUL).fixed) == monthly


def test_a_key_that_rotates_may_come_to_three_dollars_and_one_that_does_not_is_known() -> None:
    def key(**inputs: Any) -> Span:
        lines = price_stack([Resource("urn::x::key", "aws:kms/key:Key", inputs)], SEOUL).lines
        return together(each.monthly for each in lines if each.component.key == "kms.key")

    assert key() == Span.exactly(1)
    assert key(enableKeyRotation=True) == Span.of("1", "1", "3")


def test_the_first_ten_alarms_of_an_account_are_free() -> None:
    alarm = "aws:cloudwatch/metricAlarm:MetricAlarm"
    twelve = [Resource(f"urn::x::a{n:02}", alarm, {"period": 300}) for n in range(12)]
    assert str(price_stack(twelve, SEOUL).fixed) == "0.20"


@pytest.mark.parametrize(
    ("wanted", "monthly"),
    [("off", "0.00"), ("flex", "0.00"), ("soft", "0.00"), ("auto", "0.00"), ("active", "504.32")],
)
def test_a_gpu_endpoint_is_priced_by_the_mode_of_its_envelope(wanted: str, monthly: str) -> None:
    # One worker that always runs: 0.00019 x 3 600 x 730 + 50 x 0.10
    priced = price_stack([gpu(wanted)], SEOUL)
    assert str(priced.fixed) == monthly
    assert len(priced.lines) == (0 if wanted == "off" else 2)


def gpu(wanted: str) -> Resource:
    envelope = Envelope(Wanted(wanted), 1, IdleTimeouts(5, 600, 60)).as_data()
    return Resource("urn::x::gpu", GPU, {"envelope": envelope, "spec": {"disk": 50.0}})


def test_a_worker_that_waits_is_billed_for_its_waiting_and_for_its_disk() -> None:
    flex, soft, auto = (price_stack([gpu(each)], SEOUL).lines for each in ("flex", "soft", "auto"))
    seconds = {
        each: lines[0].component.quantity for each, lines in zip("fsa", (flex, soft, auto), strict=True)
    }
    # 600 receipts a day keep a worker that waits 600 s alive nearly always: a gap that long has chance e^-4.2.
    assert seconds["s"].low > 10 * seconds["f"].likely
    assert Decimal("0.97") < seconds["s"].likely / (3600 * 730) < 1
    assert (seconds["a"].low, seconds["a"].likely) == (seconds["f"].low, seconds["f"].likely)
    assert seconds["a"].high == seconds["s"].high
    for lines in (flex, soft, auto):
        assert lines[1].component.key == "gpu.disk"
        months = lines[0].component.quantity.likely * 50 / (3600 * 730)
        assert rounded(lines[1].component.quantity.likely) == rounded(months)
    measured = Usage({"gpu.seconds": Use(Span.exactly(7), Basis.OBSERVED, "measured")})
    assert price_stack([gpu("soft")], SEOUL, measured).lines[0].component.quantity == Span.exactly(7)


def test_a_small_database_that_is_kept_busy_pays_for_surplus_credits() -> None:
    inputs = {"instanceClass": "db.t4g.micro", "storageType": "gp3", "allocatedStorage": 20}
    lines = price_stack([Resource("urn::x::database", "aws:rds/instance:Instance", inputs)], SEOUL).lines
    (line,) = [each for each in lines if each.component.key == "rds.surplus-credit"]
    # 20 points above its baseline of 10: 0.2 x 2 x 730 x 0.075
    assert (line.monthly.low, line.monthly.likely, line.monthly.high) == (0, 0, Decimal("21.9"))
    fixed = Resource("urn::x::d", "aws:rds/instance:Instance", {**inputs, "instanceClass": "db.m6g.large"})
    with pytest.raises(TerraceError, match=r"db\.m6g\.large"):
        price_stack([fixed], SEOUL)


def test_a_gpu_endpoint_without_a_mode_is_an_error_and_not_taken_for_flex() -> None:
    with pytest.raises(TerraceError, match="its envelope has no mode"):
        price_stack([Resource("urn::x::gpu", GPU, {"workers": {"min": 1}})], SEOUL)
    with pytest.raises(TerraceError, match="its spec names no disk"):
        price_stack([Resource("urn::x::gpu", GPU, {**gpu("flex").inputs, "spec": {}})], SEOUL)


def test_small_lines_are_one_line_with_their_sum_and_programs_get_each() -> None:
    """An option has 40 alarms at 0.10: a person would not find the machine among them."""
    fixed, _ = cost.stage("split", SEOUL, DEFAULT, date(2026, 11, 21)).tables
    names = [row[0] for row in fixed.rows]
    until = names.index("all fixed lines")
    assert until < 20
    amounts = [Decimal(row[1]) for row in fixed.rows]
    # Each row is rounded by itself.
    assert abs(sum(amounts[:until]) - amounts[until]) <= Decimal("0.005") * until
    assert all(len(row[2]) < 60 for row in fixed.rows)
    climbed = cost.stages_diff("single-8g", "split", SEOUL, DEFAULT, date(2026, 11, 21))
    rows = climbed.tables[0].rows
    (summed,) = [row for row in rows if "smaller lines" in row[1]]
    assert "differences below 0.50 each" in summed[1]  # its two prices may each be above
    assert len(rows) < 15 < len(climbed.data["lines"])
    delta = sum(Decimal(row[4]) for row in rows)
    assert abs(delta - climbed.data["delta"]) <= Decimal("0.005") * len(rows)


def test_a_thousand_resources_add_up() -> None:
    many = [
        Resource(f"urn::x::v{n}", "aws:ebs/volume:Volume", {"type": "gp3", "size": 10}) for n in range(1000)
    ]
    assert price_stack(many, SEOUL).fixed == Decimal("912.00")


def test_a_climb_shows_the_line_that_changes_and_the_difference() -> None:
    found = cost.stages_diff("single-8g", "single-16g", SEOUL, DEFAULT, date(2026, 11, 21))
    assert found.data["delta"] == Decimal("60.74")
    assert [
        (line["sign"], line["before"], line["after"]) for line in found.data["lines"] if line["delta"]
    ] == [("~", Decimal("60.74"), Decimal("121.47"))]


def test_a_bill_is_held_against_the_estimate_service_by_service_and_nothing_is_dropped() -> None:
    estimate = price_stack(stage_resources(listed("single-8g")), SEOUL)
    bill = {"Amazon Elastic Compute Cloud": Decimal("72.50"), "AWS Cost Explorer": Decimal("0.03")}
    found = cost.calibrate(estimate, bill, date(2026, 11, 21)).data
    verdicts = {each["service"]: each["verdict"] for each in found["services"]}
    assert verdicts["Amazon Elastic Compute Cloud"] == "within the range"
    assert verdicts["AWS Cost Explorer"] == "small"
    assert verdicts["Amazon Virtual Private Cloud"] == "look"


@pytest.mark.parametrize(
    ("users", "stage"),
    [
        (500, "single-8g"),
        (4_000, "single-8g"),
        (10_000, "split"),
        (100_000, "elastic-100k"),
        (2_000_000, None),
    ],
)
def test_so_many_users_stand_on_the_lowest_rung_that_the_documents_leave_them_on(
    users: int, stage: str | None
) -> None:
    found = first_stage_for(Decimal(users))
    assert (found.name if found else None) == stage


def test_an_old_book_answers_nothing_and_a_book_of_elsewhere_prices_no_stack() -> None:
    assert age_faults(SEOUL, date(2027, 3, 30)) == []
    (fault,) = age_faults(SEOUL, date(2027, 3, 31))
    assert "181 days old where 180 are the most" in str(fault)
    assert any("eu-west-1" in str(each) for each in stack_faults(SEOUL, "eu-west-1", date(2026, 11, 21)))
    assert any(
        "comparison alone" in str(each)
        for each in stack_faults(DOCUMENT, "ap-northeast-2", date(2026, 11, 21))
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("stage", "split"), ("ladder",), ("options",), ("gpu",), ("instance",), ("capacity", "--users", "4000"),
        ("diff", "single-8g", "private"), ("book",),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_every_answer_fits_a_hundred_columns_and_is_data_as_well(arguments: tuple[str, ...]) -> None:
    shown = script(*arguments)
    assert shown.returncode == 0, shown.stderr
    assert max(len(line) for line in shown.stdout.splitlines()) <= 100
    data = script(*arguments, "--output", "json")
    assert json.loads(data.stdout)
    assert data.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("stage", "single-9g"), 1, "is no stage"),
        (("stage", "elastic-10k"), 1, "not priced yet (Option D)"),
        (("stack", "nowhere.json"), 1, "cannot be read"),
        (("stage", "single-8g", "--book", "tokyo"), 1, "'tokyo' is no price book"),
        (("gpu", "--busy-seconds", "0"), 1, "no number above 0"),
        (("calibrate", "single-8g", "nowhere.yaml"), 1, "cannot be read"),
        (("capacity", "--users", "0"), 2, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = script(*arguments)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_measured_use_takes_the_place_of_an_assumption(tmp_path: Path) -> None:
    usage = tmp_path / "usage.yaml"
    usage.write_text('observed:\n  snapshots.gib: {value: "40", days: 30, until: 2026-11-01, source: DLM}\n')
    done = script("stage", "single-8g", "--usage", str(usage), "--output", "json")
    lines = json.loads(done.stdout)["lines"]
    (line,) = [each for each in lines if each["key"] == "ebs.snapshot"]
    assert (line["basis"], line["monthly"]["likely"]) == ("usage-observed", "2.00")


def test_every_amount_is_decimal_to_the_cent_and_no_float_comes_in() -> None:
    for stage in PRICED:
        fixed = price_stack(stage_resources(stage), SEOUL).fixed
        assert isinstance(fixed, Decimal)
        assert fixed == rounded(fixed)


def test_a_book_that_misses_a_price_names_the_resource_and_the_command_ends_blocked(tmp_path: Path) -> None:
    volume = {"urn": "urn:x::y::aws:ebs/volume:Volume::data", "type": "aws:ebs/volume:Volume", "custom": True}
    fast = {**volume, "inputs": {"type": "gp3", "size": 100, "throughput": 500}}
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"version": 4, "deployment": {"resources": [fast]}}))
    done = script("stack", str(state))
    assert done.returncode == 4
    said = " ".join(done.stderr.split())
    assert "aws:ebs/volume:Volume::data" in said
    assert "no price for 'ebs.gp3.throughput' (not seen at a source for Seoul" in said


def test_stages_states_and_previews_are_compared_by_the_same_command(tmp_path: Path) -> None:
    old, new = ({"type": "gp3", "size": size} for size in (100, 200))
    (tmp_path / "preview.json").write_text(preview(update("aws:ebs/volume:Volume", "data", old, new)))
    alone = json.loads(script("diff", str(tmp_path / "preview.json"), "--output", "json").stdout)
    assert (alone["delta"], len(alone["lines"])) == ("9.12", 1)
    data = {"urn": "urn:x::y::aws:ebs/volume:Volume::data", "type": "aws:ebs/volume:Volume", "custom": True}
    resources = [{**data, "inputs": old}]
    (tmp_path / "state.json").write_text(json.dumps({"version": 4, "deployment": {"resources": resources}}))
    against = json.loads(script("diff", "single-8g", str(tmp_path / "state.json"), "--output", "json").stdout)
    assert not [line for line in against["lines"] if "Volume::data" in line["urn"]]
    refused = script("diff", str(tmp_path / "state.json"))
    assert refused.returncode == 1
    assert "holds no change by itself" in refused.stderr


BOOKS = "document", "us-east-1", "seoul-2026-10"
ANSWERS: dict[str, tuple[str, ...]] = {
    "stage": ("split",), "ladder": (), "options": (), "gpu": (), "instance": (), "capacity": (),
    "diff": ("single-8g", "private"), "calibrate": ("single-8g",), "stack": (),
}  # fmt: skip


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_every_answer_is_given_by_every_book(
    book: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "calibrate": '"AmazonCloudWatch": "3.00"',
        "stack": preview(update("aws:ec2/eip:Eip", "a", {}, {})),
    }
    given = list(ANSWERS[answer])
    if text := files.get(answer):
        (tmp_path / "given.json").write_text(text)
        given.append(str(tmp_path / "given.json"))
    done = CliRunner().invoke(cli(monkeypatch), [answer, *given, "--book", book, "--output", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("book", "before", "after", "lacking"),
    [
        ("us-east-1", "split", "private", {"records delivered (logs.vended)"}),
        ("document", "split", "private", {"public IPv4 address (ipv4)", "encryption key (kms.key)"}),
        ("seoul-2026-10", "split", "private", set()),
    ],
)
def test_a_difference_names_what_a_reference_book_lacks_and_no_other_book_may_lack_anything(
    book: str, before: str, after: str, lacking: set[str]
) -> None:
    one, other = (
        price_stack(stage_resources(listed(name)), load(book), known_only=True) for name in (before, after)
    )
    answer = cost.diff(one, other, "climb", date(2026, 11, 21))
    assert lacking <= set(answer.data["lacking"])
    assert bool(answer.data["lacking"]) == bool(lacking)
    assert any("has no price for" in note for note in answer.tables[0].notes) == bool(lacking)
    if book != "seoul-2026-10":
        with pytest.raises(TerraceError, match="has no price for"):
            price_stack(stage_resources(listed(before)), load(book))
    thinner = replace(SEOUL, prices={key: each for key, each in SEOUL.prices.items() if key != "ipv4"})
    with pytest.raises(TerraceError, match="ipv4"):
        price_stack(stage_resources(listed(before)), thinner, known_only=True)
