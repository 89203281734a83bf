"""Receipts: cut to the budget, sent once, judged without trust, remembered without their content."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from embedded.runpod import hangul, pictures, samples
from embedded.runpod.faults import FaultName
from infra.clients.calling import ONCE
from infra.core.errors import TerraceError
from infra.core.gpu.definition import load_policy
from infra.core.gpu.modes import Wanted
from ops.gpu.images import fit, prepare
from ops.gpu.receipts import Verdict, read
from ops.gpu.report import chart, report
from ops.gpu.usage import FORGOTTEN, Answered, Pending, Reader, Records, sampled

from .support import NOW, Bench, bench, definition

TODAY = date(2026, 11, 21)
CAFE = json.dumps(samples.SAMPLES["cafe"].answer)
PIXELS = 1_003_520


def reader(made: Bench, wanted: Wanted = Wanted.FLEX) -> Reader:
    now = lambda: datetime.fromtimestamp(made.double.world.now, UTC)  # noqa: E731
    return Reader(made.jobs(made.endpoint(wanted)), definition(), 120, load_policy().zone, now)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of the cafe's receipt, known to the double."""
    path = tmp_path / "receipt.png"
    pictures.draw("cafe", path)
    return path


@pytest.mark.parametrize("name", list(samples.SAMPLES))
def test_each_sample_is_drawn_sent_known_again_and_judged(name: str, tmp_path: Path) -> None:
    made = bench()
    made.double.habits.answer = samples.answers(pictures.known)
    pictures.draw(name, tmp_path / "receipt.png")
    found = reader(made).read(prepare(tmp_path / "receipt.png", largest_pixels=PIXELS))
    assert isinstance(found, Answered)
    assert found.is_double
    bad = {"miscounted": Verdict.SUM, "torn": Verdict.CUT_OFF}
    assert found.reading.verdict is bad.get(name, Verdict.OK)
    if found.reading.receipt is not None:
        assert found.reading.receipt.merchant == samples.SAMPLES[name].answer["merchant"]


def test_a_sample_is_known_again_whatever_its_size_and_compression_and_is_no_other(tmp_path: Path) -> None:
    for name in samples.SAMPLES:
        picture = pictures.drawn(name)
        for changed in (picture.resize((210, 300)), picture.convert("L").resize((1200, 1300))):
            changed.save(tmp_path / "changed.jpg", quality=60)
            payload = reader(bench()).payload(prepare(tmp_path / "changed.jpg", largest_pixels=PIXELS))
            assert pictures.known(payload) == name


def test_of_a_picture_that_it_does_not_know_the_double_says_so(tmp_path: Path) -> None:
    made = bench()
    made.double.habits.answer = samples.answers(pictures.known)
    upside_down = pictures.drawn("cafe").transpose(Image.Transpose.ROTATE_180)
    for picture in (Image.new("RGB", (420, 336), "white"), upside_down):
        picture.save(tmp_path / "other.png")
        found = reader(made).read(prepare(tmp_path / "other.png", largest_pixels=PIXELS))
        assert isinstance(found, Answered)
        assert found.reading.verdict is Verdict.NOT_JSON
        assert found.text == samples.UNKNOWN
    assert pictures.known({"input": 1}) == ""


def test_every_letter_of_hangul_has_its_lines_inside_its_box() -> None:
    for code in range(hangul.FIRST, hangul.LAST + 1, 7):
        drawn = list(hangul.lines(chr(code)))
        assert len(drawn) >= 2
        assert all(-0.01 <= x <= 1.01 and -0.01 <= y <= 1.01 for line in drawn for x, y in line)


def broken(**changes: Any) -> str:
    return json.dumps({**samples.SAMPLES["cafe"].answer, **changes})


@pytest.mark.parametrize(
    ("text", "reason", "verdict"),
    [
        ("Sure! Here is the receipt", "stop", Verdict.NOT_JSON),
        (CAFE[:80], "length", Verdict.CUT_OFF),
        (CAFE[:80], "stop", Verdict.NOT_JSON),
        ("[1, 2]", "stop", Verdict.SCHEMA),
        (broken(total=15501), "stop", Verdict.SUM),
        (broken(tax=-1), "stop", Verdict.SUM),
        (broken(tax=99999), "stop", Verdict.SUM),
        (broken(currency="WON"), "stop", Verdict.SCHEMA),
        (broken(total="15500"), "stop", Verdict.SCHEMA),
        (broken(total=None), "stop", Verdict.SCHEMA),
        (broken(items=[]), "stop", Verdict.SCHEMA),
        (broken(items=[{"name": "x", "quantity": 1}]), "stop", Verdict.SCHEMA),
        (broken(extra=1), "stop", Verdict.SCHEMA),
        (broken(date="2026-02-30"), "stop", Verdict.DATE),
        (broken(date="2031-01-01"), "stop", Verdict.DATE),
        (broken(total=float("nan")), "stop", Verdict.SCHEMA),
        (f"```json\n{CAFE}\n```", "stop", Verdict.OK),
    ],
)
def test_an_answer_is_judged(text: str, reason: str, verdict: Verdict) -> None:
    assert read(text, finish_reason=reason, today=TODAY).verdict is verdict


@given(st.text())
def test_no_answer_of_the_model_makes_the_judge_fail(text: str) -> None:
    assert read(text, finish_reason="stop", today=TODAY).verdict is not Verdict.OK


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_no_json_of_the_model_makes_the_judge_fail(value: Any) -> None:
    for text in (json.dumps(value), broken(items=[value]), broken(total=value), broken(date=str(value))):
        read(text, finish_reason="stop", today=TODAY)


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_a_picture_fits_into_the_budget_in_whole_patches(width: int, height: int) -> None:
    wide, high = fit(width, height, largest_pixels=PIXELS)
    assert wide * high <= PIXELS
    assert wide % 28 == high % 28 == 0


def test_a_large_photo_is_turned_upright_cut_down_and_stripped_of_where_it_was_taken(tmp_path: Path) -> None:
    image = Image.new("RGB", (4000, 3000), "white")
    exif = image.getexif()
    exif[0x0112], exif[0x010F] = 6, "sentinel-phone"
    image.save(tmp_path / "photo.jpg", exif=exif)
    picture = prepare(tmp_path / "photo.jpg", largest_pixels=PIXELS)
    assert picture.height > picture.width
    assert picture.tokens <= 1280
    assert b"sentinel-phone" not in picture.content


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("no picture")
    with pytest.raises(TerraceError, match="JPEG"):
        prepare(tmp_path / "note.jpg", largest_pixels=PIXELS)
    with pytest.raises(TerraceError, match="no such file"):
        prepare(tmp_path / "none.jpg", largest_pixels=PIXELS)


def test_a_receipt_is_read_through_a_cold_start_and_leaves_a_record_without_its_content(
    photo: Path, tmp_path: Path
) -> None:
    made = bench()
    picture = prepare(photo, largest_pixels=PIXELS)
    made.double.habits.answer = samples.answers(pictures.known)
    answered = reader(made).read(picture)
    assert isinstance(answered, Answered)
    assert answered.is_double
    assert answered.reading.receipt is not None
    assert answered.reading.receipt.total == Decimal(15500)
    assert answered.record.wait_seconds > 120
    records = Records(tmp_path / "records.jsonl")
    records.add(answered.record)
    assert "Cafe" not in records.path.read_text()
    assert "15500" not in records.path.read_text()
    assert records.all() == [answered.record]


def test_in_flex_the_normal_answer_is_being_analysed_and_the_result_is_fetched_later(photo: Path) -> None:
    made = bench()
    made.double.habits.answer = samples.answers(pictures.known)
    asked = reader(made)
    picture = prepare(photo, largest_pixels=PIXELS)
    pending = asked.submit(picture)
    assert pending.said == "being analysed"
    assert asked.fetch(pending, 1) == pending
    made.pass_time(200)
    assert isinstance(asked.fetch(pending, 1), Answered)
    made.pass_time(3600)
    late = asked.fetch(pending, 1)
    assert isinstance(late, Answered)
    assert late.reading.verdict is Verdict.TIMED_OUT


def test_whoever_was_interrupted_looks_again_at_the_same_job_and_is_recorded_once(
    photo: Path, tmp_path: Path
) -> None:
    made, asked = bench(), []
    made.double.habits.answer = samples.answers(pictures.known)
    asks, picture = reader(made), prepare(photo, largest_pixels=PIXELS)

    def interrupted(job_id: str) -> None:
        asked.append(job_id)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asks.read(picture, sent=interrupted)
    records = Records(tmp_path / "records.jsonl")
    for _ in range(2):
        found = asks.read(picture, job_id=asked[0])
        assert isinstance(found, Answered)
        assert found.reading.verdict is Verdict.OK
        records.add(found.record)
    assert len(records.all()) == 1
    assert sum(1 for _, path, _ in made.double.requests if path.endswith("/run")) == 1
    unknown = asks.read(picture, job_id="job-that-never-was")
    assert isinstance(unknown, Answered)
    assert unknown.job.error == FORGOTTEN


def test_a_wait_that_is_too_short_cancels_nothing_and_sends_nothing_twice(photo: Path) -> None:
    made = bench()
    found = reader(made).read(prepare(photo, largest_pixels=PIXELS), wait_seconds=30)
    assert isinstance(found, Pending)
    assert sum(1 for method, path, _ in made.double.requests if path.endswith("/run")) == 1


def test_a_lost_answer_is_a_failure_class_and_is_not_sent_again(photo: Path) -> None:
    made = bench()
    asked = reader(made)
    made.double.faults.plan(FaultName.LOST_REPLY, method="POST", path="/v2/ep")
    found = asked.read(prepare(photo, largest_pixels=PIXELS))
    assert isinstance(found, Answered)
    assert found.record.verdict is Verdict.NO_ANSWER
    assert sum(1 for method, path, _ in made.double.requests if path.endswith("/run")) == 1


@pytest.mark.parametrize(("habit", "said"), [("reject", "refused the request"), ("limit", "left alone")])
def test_a_submit_that_is_refused_leaves_a_record_too(photo: Path, habit: str, said: str) -> None:
    made = bench(patience=ONCE)
    asks = reader(made)
    if habit == "limit":
        made.double.faults.plan(FaultName.LIMITED, times=9, retry_after_seconds=600)
    else:
        asks.definition = asks.definition.model_copy(update={"execution_timeout_seconds": 700_000})
    found = asks.read(prepare(photo, largest_pixels=PIXELS))
    assert isinstance(found, Answered)
    assert (found.record.verdict, found.record.job) == (Verdict.REFUSED, "")
    assert said in found.record.why
    assert made.double.endpoints[0].jobs == {}


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ([samples.completion("{}")], Verdict.SCHEMA),
        ([samples.completion(CAFE[:90], finish_reason="length")], Verdict.CUT_OFF),
        ([samples.completion(broken(total=1))], Verdict.SUM),
        ({"unexpected": 1}, Verdict.NOT_JSON),
        ([], Verdict.NOT_JSON),
        (None, Verdict.NOT_JSON),
    ],
)
def test_a_bad_answer_has_its_own_failure_class(photo: Path, output: Any, verdict: Verdict) -> None:
    made = bench()
    made.double.habits.answer = lambda _: (output, "")
    found = reader(made).read(prepare(photo, largest_pixels=PIXELS))
    assert isinstance(found, Answered)
    assert found.record.verdict is verdict


@pytest.mark.parametrize(
    ("utc", "verdict"), [("22:30", Verdict.OK), ("23:30", Verdict.OK), ("14:59", Verdict.DATE)]
)
def test_a_receipt_of_this_morning_in_seoul_is_not_in_the_future(
    photo: Path, utc: str, verdict: Verdict
) -> None:
    """22:30 and 23:30 of the 20th are 7:30 and 8:30 of the 21st there; a minute before midnight it is none."""
    made = bench()
    made.double.habits.answer = lambda _: ([samples.completion(broken(date="2026-09-21"))], "")
    asks = reader(made)
    asks.now = lambda: datetime.fromisoformat(f"2026-09-20T{utc}:00+00:00")
    found = asks.read(prepare(photo, largest_pixels=PIXELS))
    assert isinstance(found, Answered)
    assert found.reading.verdict is verdict


def test_sampling_is_a_share_and_stays_the_same_for_a_receipt() -> None:
    chosen = [sampled(str(each).encode(), 0.2) for each in range(5000)]
    assert 0.17 < sum(chosen) / 5000 < 0.23
    assert chosen == [sampled(str(each).encode(), 0.2) for each in range(5000)]
    assert not sampled(b"x", 0.0)
    assert sampled(b"x", 1.0)


def test_a_week_of_records_becomes_a_report_with_a_chart(photo: Path) -> None:
    made = bench()
    made.double.habits.answer = samples.answers(pictures.known)
    found = reader(made).read(prepare(photo, largest_pixels=PIXELS))
    assert isinstance(found, Answered)
    records = [
        replace(
            found.record,
            at=f"2026-09-{day:02d}T12:00:00+00:00",
            verdict=Verdict.SUM if day == 3 else Verdict.OK,
        )
        for day in range(1, 8)
    ]
    made_report = report(records)
    assert (made_report.days, made_report.requests) == (7, 7)
    assert made_report.ok_share == pytest.approx(6 / 7)
    assert made_report.cold_share == 1.0
    drawn = chart(records)
    assert drawn.startswith("<svg")
    assert drawn.count("<rect") == 1 + 14 + 2
    assert "6 of 7 ok" in drawn
    assert drawn.count(">100 %<") == 6
    month = [replace(records[0], at=f"2026-09-{day:02d}T12:00:00+00:00") for day in range(1, 29)]
    assert chart(month).count(">09-") == 14
    assert chart([]).startswith("<svg")
    assert report([]).ok_share is None
    assert NOW
