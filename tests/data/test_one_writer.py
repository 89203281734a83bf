"""A move cut short at any step leaves one writer at most, and the same commands, or `back`, lead to exactly one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from infra.core.errors import Fault, TerraceError
from infra.core.naming import UNSET
from infra.host.box.data import command, compare, work
from infra.host.box.data.application import environment
from infra.host.box.data.compare import Census, differences
from infra.host.box.data.ends import End, Mark, State
from infra.host.box.data.follow import Following
from infra.host.box.data.record import BOX, RDS, Record, Writer, scram
from infra.host.box.data.work import DifferentError, Move
from ops.data import Databases, RefusedError, ask


class CutError(Exception):
    """The process ended here."""


@dataclass
class Life:
    """How many changes are left until the process is cut."""

    left: int = 10_000

    def change(self) -> None:
        if self.left == 0:
            raise CutError
        self.left -= 1


@dataclass
class Database:
    """A database as far as a move sees it: its mark, who may write, what it holds."""

    name: str
    life: Life
    found: Mark
    rows: int = 0
    may_write: bool = False

    @property
    def is_ours(self) -> bool:
        return self.name == BOX

    def mark(self) -> Mark:
        return self.found

    def exists(self) -> bool:
        return True

    def tables(self) -> int:
        return 1 if self.rows else 0

    def bytes(self) -> int:
        return 1024

    def sql(self, query: str, *, database: str = "postgres") -> str:
        return "{}" if "json_object_agg" in query else ""

    def run(self, argv: list[str]) -> str:
        self.life.change()
        if argv[0] == "pg_restore" and "--exit-on-error" in argv:
            self.rows = 2000
        return ""

    def fence(self, epoch: int) -> None:
        self.life.change()
        self.found, self.may_write = Mark(State.FENCED, epoch), False

    def empty(self, epoch: int, verifier: str) -> str:
        self.life.change()
        assert self.found.state is not State.OPEN
        self.found, self.rows, self.may_write = Mark(State.COPYING, epoch), 0, False
        return ""

    def close(self, epoch: int) -> None:
        self.life.change()
        self.found = Mark(State.COPIED, epoch)

    def follow(self, epoch: int) -> None:
        self.life.change()
        self.found = Mark(State.FOLLOWING, epoch)

    unlisten = follow

    def open(self, epoch: int) -> None:
        self.life.change()
        assert self.found.epoch <= epoch
        self.found, self.may_write = Mark(State.OPEN, epoch), True


@dataclass
class Parameters:
    """SSM, as far as it is used."""

    life: Life
    values: dict[str, str] = field(default_factory=dict)
    refuses: bool = False
    keys: dict[str, str] = field(default_factory=dict)

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:  # noqa: N803 as boto3 has them
        return {"Parameter": {"Value": self.values.get(Name, UNSET)}}

    def put_parameter(self, **given: Any) -> None:
        self.life.change()
        if self.refuses:
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "PutParameter")
        self.values[given["Name"]], self.keys[given["Name"]] = given["Value"], given.get("KeyId", "")


@dataclass
class Stack:
    """A box whose database is the writer, an RDS instance beside it, and the move between them."""

    scratch: Path
    life: Life = field(default_factory=Life)

    def __post_init__(self) -> None:
        self.box = Database(BOX, self.life, Mark(State.OPEN), rows=2000, may_write=True)
        self.rds = Database(RDS, self.life, Mark(State.ABSENT))
        ends = cast("dict[str, End]", {BOX: self.box, RDS: self.rds})
        record = Record(Parameters(self.life), "/terrace/dev")
        where = {BOX: Writer(0, BOX), RDS: Writer(0, RDS, "rds.mock")}
        self.move = Move(ends, where, record, self.scratch, {})

    def writers(self) -> list[str]:
        return [each.name for each in (self.box, self.rds) if each.may_write]

    def whole_move(self) -> None:
        self.move.copy(lambda _: None)
        self.move.switch(lambda _: None)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(work.shutil, "chown", lambda *_: None)
    monkeypatch.setattr(
        compare, "census", lambda end, _=None: Census((), {"receipts": (end.rows, "sum")}, {}, {}, {}, 0)
    )
    monkeypatch.setattr(compare, "learn", lambda _: None)
    return Stack(tmp_path)


@dataclass
class Pretended:
    """Replication, as far as a move sees it; `standing` are the databases that have a subscription."""

    source: Database
    target: Database
    listener: set[str]
    keep_mib: int
    is_paused: bool = False

    def refusals(self) -> list[str]:
        return []

    def stands(self) -> bool:
        return self.target.name in self.listener

    def begin(self, _: Any) -> None:
        self.source.life.change()
        self.listener.add(self.target.name)
        self.target.rows = self.source.rows

    def wait(self, _: Any) -> None:
        assert self.stands()
        assert not self.is_paused

    @contextmanager
    def paused(self) -> Generator[None]:
        self.is_paused = True
        yield
        self.is_paused = False

    def drain(self) -> None:
        assert not self.source.may_write
        assert self.stands()

    def set_sequences(self) -> None:
        self.target.life.change()

    def lag_bytes(self) -> int:
        return 0

    def slot(self) -> str:
        return ""

    def end(self) -> None:
        self.target.life.change()
        self.listener.discard(self.target.name)


@pytest.fixture
def followed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The same with a way to follow."""
    monkeypatch.setattr(work, "Following", Pretended)
    monkeypatch.setattr(work.Path, "chmod", lambda *_: None)
    stack.move = replace(stack.move, listener=cast("Any", set()))
    return stack


def follow_and_switch(stack: Stack) -> None:
    stack.move.follow(lambda _: None)
    stack.move.switch(lambda _: None)


@pytest.mark.parametrize("changes", range(15))
def test_a_move_by_following_cut_at_any_change_has_one_writer_at_most_and_ends_by_the_same_commands(
    followed: Stack, changes: int
) -> None:
    followed.life.left = changes
    with pytest.raises(CutError):
        follow_and_switch(followed)
    followed.life.left = 10_000
    assert len(followed.writers()) <= 1
    try:
        followed.move.switch(lambda _: None)
    except DifferentError:
        assert followed.writers() == [BOX]
        follow_and_switch(followed)
    assert followed.writers() == [RDS]
    assert followed.rds.rows == 2000
    assert not followed.move.listener, "a subscription was left behind"


@pytest.mark.parametrize("changes", range(15))
def test_a_move_by_following_cut_at_any_change_goes_back_unless_it_was_written_down(
    followed: Stack, changes: int
) -> None:
    followed.life.left = changes
    with pytest.raises(CutError):
        follow_and_switch(followed)
    followed.life.left = 10_000
    if followed.move.record.read().end == BOX:
        followed.move.back(lambda _: None)
        assert followed.writers() == [BOX]
        assert not followed.move.listener, "a subscription was left behind"
    else:
        followed.move.switch(lambda _: None)
        assert followed.writers() == [RDS]


KEY = "11; 2606 16390 CONSTRAINT public receipts receipts_pkey app"
FOREIGN_KEY = "12; 2606 16391 FK CONSTRAINT public items items_receipt_id_fkey app"
INDEX = "13; 1259 16392 INDEX public items_at app"


def test_foreign_keys_are_made_while_nothing_is_taken_up_and_other_indexes_while_it_follows(
    followed: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A foreign key locks two tables, and a follower that has one of them waits for the other: PostgreSQL ends one.
    made: dict[str, str] = {}
    phase = "before it follows"
    begin, paused = Pretended.begin, Pretended.paused

    def note(name: str) -> None:
        nonlocal phase
        phase = name

    def begun(self: Pretended, on_step: Any) -> None:
        begin(self, on_step)
        note("following")

    @contextmanager
    def stopped(self: Pretended) -> Generator[None]:
        note("stopped")
        with paused(self):
            yield
        note("following")

    def run(argv: list[str]) -> str:
        if "-l" in argv:
            return "\n".join((";", KEY, FOREIGN_KEY, INDEX)) if "--section=post-data" in argv else ""
        if "-L" in argv:
            chosen = Path(argv[argv.index("-L") + 1]).read_text(encoding="utf-8").splitlines()
            made.update(dict.fromkeys(chosen, phase))
        return ""

    monkeypatch.setattr(Pretended, "begin", begun)
    monkeypatch.setattr(Pretended, "paused", stopped)
    monkeypatch.setattr(followed.rds, "run", run)
    followed.move.follow(lambda _: None)
    assert made == {KEY: "before it follows", INDEX: "following", FOREIGN_KEY: "stopped"}


@dataclass
class Asking:
    """A box's requests: whether they wait, and where they go."""

    stack: Stack
    waiting: bool = False
    is_prepared: bool = False
    to: str = BOX
    wrote_when_held: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        self.is_prepared = True

    def hold(self) -> None:
        assert self.is_prepared
        self.waiting, self.wrote_when_held = True, self.stack.writers()

    def lead(self, end: str) -> str:
        assert self.stack.writers() == [end], "requests are led to who cannot write"
        self.waiting, self.to = False, end
        return "10.0.0.9:8090"


def test_requests_wait_before_the_fence_and_are_led_to_who_writes_then(followed: Stack) -> None:
    asking = Asking(followed)
    followed.move = replace(followed.move, requests=asking)
    followed.move.follow(lambda _: None)
    assert asking.to == BOX
    found = followed.move.switch(lambda _: None)
    assert asking.wrote_when_held == [BOX], "who holds requests behind the fence has lost some"
    assert (asking.waiting, asking.to, found["requests_go_to"]) == (False, RDS, "10.0.0.9:8090")
    assert {"what was begun", "led to the new backend"} <= set(found["pause"])
    followed.move.copy(lambda _: None)
    followed.move.switch(lambda _: None)
    assert (asking.waiting, asking.to) == (False, BOX)


def test_requests_go_on_where_they_went_when_a_switch_is_refused_or_taken_back(followed: Stack) -> None:
    asking = Asking(followed)
    followed.move = replace(followed.move, requests=asking)
    followed.move.follow(lambda _: None)
    followed.rds.rows = 1999
    with pytest.raises(DifferentError, match="1999 rows"):
        followed.move.switch(lambda _: None)
    assert (asking.waiting, asking.to, followed.writers()) == (False, BOX, [BOX])
    followed.move.back(lambda _: None)
    assert (asking.waiting, asking.to) == (False, BOX)


@pytest.mark.parametrize("error", [OSError("no room"), ValueError("no number"), KeyboardInterrupt()])
def test_whatever_ends_a_switch_behind_the_fence_requests_and_rows_go_on_where_they_went(
    followed: Stack, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(_: Pretended) -> None:
        raise error

    asking = Asking(followed)
    followed.move = replace(followed.move, requests=asking)
    followed.move.follow(lambda _: None)
    monkeypatch.setattr(Pretended, "drain", fails)
    with pytest.raises(type(error)):
        followed.move.switch(lambda _: None)
    assert (asking.waiting, asking.to, followed.writers()) == (False, BOX, [BOX])
    assert followed.rds.found.state is State.FOLLOWING


def test_a_way_back_that_fails_as_well_hides_no_first_error_and_ends_no_later_step(
    followed: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: str) -> str:
        raise TerraceError(Fault("requests", "Nginx refuses the switch", "Look at its log"))

    asking = Asking(followed)
    monkeypatch.setattr(asking, "lead", refuses)
    followed.move = replace(followed.move, requests=asking)
    followed.move.follow(lambda _: None)
    followed.rds.rows, said = 1999, []
    with pytest.raises(DifferentError, match="1999 rows"):
        followed.move.switch(said.append)
    assert (followed.writers(), followed.rds.found.state) == ([BOX], State.FOLLOWING)
    assert any("Nginx refuses the switch" in each for each in said)


def test_where_nobody_can_say_who_is_recorded_nobody_writes_until_the_switch_is_asked_for_again(
    followed: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Record.read

    def away(_: Record) -> Writer:
        raise TerraceError(Fault("database/writer", "cannot be had", "Run it again"))

    def put(**_: Any) -> None:
        monkeypatch.setattr(Record, "read", away)
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": "away"}}, "PutParameter")

    ssm = cast("Parameters", followed.move.record._ssm)
    working = ssm.put_parameter
    followed.move.follow(lambda _: None)
    monkeypatch.setattr(ssm, "put_parameter", put)
    with pytest.raises(TerraceError, match="PutParameter"):
        followed.move.switch(lambda _: None)
    assert followed.writers() == []
    monkeypatch.setattr(Record, "read", read)
    monkeypatch.setattr(ssm, "put_parameter", working)
    followed.move.switch(lambda _: None)
    assert followed.writers() == [RDS]


def test_a_hold_that_is_refused_leaves_the_writers_sessions_alone(
    followed: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses() -> None:
        raise TerraceError(Fault("requests", "Nginx refuses the switch", "Look at its log"))

    asking = Asking(followed)
    monkeypatch.setattr(asking, "hold", refuses)
    followed.move = replace(followed.move, requests=asking)
    followed.move.follow(lambda _: None)
    before = followed.box.found
    monkeypatch.setattr(followed.box, "open", None)
    with pytest.raises(TerraceError, match="refuses the switch"):
        followed.move.switch(lambda _: None)
    assert (followed.box.found, followed.writers(), asking.to) == (before, [BOX], BOX)


@pytest.mark.parametrize("changes", range(15))
def test_a_switch_cut_anywhere_and_asked_for_again_leads_requests_to_who_writes(
    followed: Stack, changes: int
) -> None:
    asking = Asking(followed)
    followed.move = replace(followed.move, requests=asking)
    followed.life.left = changes
    with pytest.raises(CutError):
        follow_and_switch(followed)
    followed.life.left = 10_000
    try:
        followed.move.switch(lambda _: None)
    except DifferentError:
        follow_and_switch(followed)
    assert (asking.waiting, asking.to, followed.writers()) == (False, RDS, [RDS])


def test_a_followed_copy_that_differs_is_not_switched_to_and_the_writer_writes_on(followed: Stack) -> None:
    followed.move.follow(lambda _: None)
    followed.rds.rows = 1999
    with pytest.raises(DifferentError, match="1999 rows"):
        followed.move.switch(lambda _: None)
    assert followed.writers() == [BOX]
    assert followed.rds.found.state is State.FOLLOWING


@pytest.mark.parametrize("changes", range(12))
def test_cut_at_any_change_there_is_one_writer_at_most_and_the_same_commands_end_the_move(
    stack: Stack, changes: int
) -> None:
    stack.life.left = changes
    try:
        stack.whole_move()
    except CutError:
        assert len(stack.writers()) <= 1
    stack.life.left = 10_000
    if stack.move.record.read().end == BOX:
        stack.move.copy(lambda _: None)
    stack.move.switch(lambda _: None)
    assert stack.writers() == [RDS]
    assert stack.rds.rows == 2000
    assert stack.move.record.read() == Writer(1, RDS, "rds.mock")


@pytest.mark.parametrize("changes", range(6))
def test_cut_before_the_record_names_the_new_one_back_opens_the_old_one(stack: Stack, changes: int) -> None:
    stack.life.left = changes
    with pytest.raises(CutError):
        stack.whole_move()
    stack.life.left = 10_000
    assert stack.move.record.read().end == BOX
    stack.move.back(lambda _: None)
    assert stack.writers() == [BOX]
    assert stack.rds.found.state is not State.COPIED


def test_after_the_switch_back_is_refused_because_the_old_one_lacks_rows(stack: Stack) -> None:
    stack.whole_move()
    with pytest.raises(DifferentError, match="lacks what it took since"):
        stack.move.back(lambda _: None)
    assert stack.writers() == [RDS]


def test_a_copy_with_other_rows_is_not_switched_to(stack: Stack) -> None:
    stack.move.copy(lambda _: None)
    stack.rds.rows -= 1
    with pytest.raises(DifferentError, match=r"receipts: 1999 rows.*source has 2000 rows"):
        stack.move.switch(lambda _: None)
    assert stack.writers() == []
    assert stack.move.record.read().end == BOX


def test_a_source_that_writes_again_since_the_copy_is_not_switched_from(stack: Stack) -> None:
    stack.move.copy(lambda _: None)
    stack.box.open(0)
    with pytest.raises(DifferentError, match="is written to since the copy was made"):
        stack.move.switch(lambda _: None)
    assert stack.writers() == [BOX]


def test_an_extension_that_the_target_has_only_older_is_refused_before_the_fence(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "extensions", lambda _: {"vector": "0.8.2"})
    monkeypatch.setattr(compare, "available", lambda _: {"vector": "0.8.0"})
    with pytest.raises(DifferentError, match=r"extension vector is 0\.8\.2 on box, and 0\.8\.0 on"):
        stack.move.copy(lambda _: None)
    assert stack.writers() == [BOX]


def test_what_a_killed_follower_left_is_taken_away_by_an_ordinary_copy_as_well(followed: Stack) -> None:
    followed.life.left = 7
    with pytest.raises(CutError):
        followed.move.follow(lambda _: None)
    assert followed.move.listener, "nothing was left: the test cuts too early"
    followed.life.left = 10_000
    followed.move.copy(lambda _: None)
    assert not followed.move.listener


@dataclass
class Asked:
    """A database that answers what it is told to, and notes what it was asked."""

    name: str
    answers: dict[str, str]
    is_ours: bool = True
    said: list[str] = field(default_factory=list)

    def sql(self, query: str, *, database: str = "postgres") -> str:
        self.said.append(query)
        return next((answer for part, answer in self.answers.items() if part in query), "")


def following(source: dict[str, str], *, is_ours: bool = True) -> tuple[Following, Asked]:
    box = Asked(BOX, source, is_ours)
    return Following(cast("Any", box), cast("Any", Asked(RDS, {})), cast("Any", None), 512), box


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"show wal_level": "replica", "largeobject": "0"}, "wal_level is replica"),
        ({"show wal_level": "logical", "relreplident": "public.bare", "largeobject": "0"}, "public.bare"),
        ({"show wal_level": "logical", "largeobject": "3"}, "3 large objects"),
    ],
)
def test_what_cannot_be_replicated_is_refused(answers: dict[str, str], said: str) -> None:
    (fault,) = following(answers)[0].refusals()
    assert said in fault


def test_a_database_on_rds_is_not_followed() -> None:
    assert "copy instead" in following({}, is_ours=False)[0].refusals()[0]


def test_a_follower_that_lagged_by_more_than_the_disk_may_keep_is_said_to_be_lost() -> None:
    with pytest.raises(TerraceError, match=r"kept 512 MiB for its follower, which lagged by more"):
        following({"wal_status": "lost, 600 MB"})[0].synchronized()


def test_a_rehearsal_fences_nothing_and_is_never_switched_to(stack: Stack) -> None:
    stack.move.copy(lambda _: None, rehearse=True)
    assert stack.writers() == [BOX]
    with pytest.raises(DifferentError, match="no whole copy"):
        stack.move.switch(lambda _: None)


def test_a_target_that_is_too_small_is_refused_before_the_fence(stack: Stack) -> None:
    small = Move(stack.move.ends, stack.move.where, stack.move.record, stack.scratch, {RDS: 1})
    with pytest.raises(DifferentError, match="room for 0 MiB"):
        small.copy(lambda _: None)
    assert stack.writers() == [BOX]


def test_a_target_that_is_too_small_is_refused_before_anything_follows(followed: Stack) -> None:
    small = replace(followed.move, room={RDS: 1})
    with pytest.raises(DifferentError, match="room for 0 MiB"):
        small.follow(lambda _: None)
    assert (followed.writers(), followed.rds.found.state) == ([BOX], State.ABSENT)


def test_what_aws_refuses_behind_the_fence_opens_the_old_writer_again(followed: Stack) -> None:
    followed.move.follow(lambda _: None)
    cast("Parameters", followed.move.record._ssm).refuses = True
    with pytest.raises(TerraceError, match="cannot be had or set"):
        followed.move.switch(lambda _: None)
    assert followed.writers() == [BOX]
    assert followed.rds.found.state is State.FOLLOWING


def test_a_record_of_a_later_epoch_is_never_overwritten(stack: Stack) -> None:
    stack.move.record.write(Writer(5, RDS, "rds.mock"))
    with pytest.raises(TerraceError, match="later than 4"):
        stack.move.record.write(Writer(4, BOX))


def test_an_extension_that_is_older_on_the_target_is_a_difference() -> None:
    newer, older = (Census((), {}, {}, {"vector": version}, {}, 0) for version in ("0.8.2", "0.8.0"))
    assert differences(older, newer) == []
    assert differences(newer, older) == ["extension vector is 0.8.0, the source has 0.8.2"]


def test_every_kind_of_difference_is_said() -> None:
    one = Census(("create table a ();",), {"a": (1, "x")}, {"s": "7 t"}, {}, {"a.v": "0.1"}, 1)
    other = Census(("create table b ();",), {"a": (1, "y")}, {"s": "6 t"}, {}, {"a.v": "0.2"}, 0)
    said = " / ".join(differences(one, other))
    for each in (
        "schema lacks",
        "schema has besides",
        "table a",
        "sequence s",
        "vector query on a.v",
        "large",
    ):
        assert each in said


def test_the_verifier_proves_the_exchange_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    server_key = base64.b64decode(scram("pencil", salt).rpartition(":")[2])
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
    signature = hmac.digest(server_key, exchange.encode(), hashlib.sha256)
    assert base64.b64encode(signature).decode() == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_interrupts_a_verb_once_and_what_it_takes_back_is_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    done: list[str] = []

    def verb(*_: object) -> dict[str, Any]:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            done.append("taken back")
        return {}

    before = signal.getsignal(number)
    monkeypatch.setattr(command, "LOCK", tmp_path / "data.lock")
    monkeypatch.setattr(command, "_move", lambda *_: None)
    monkeypatch.setattr(command, "_verb", verb)
    place = ["--region", "r", "--parameters", "/p", "--endpoint", "h:1", "--master-secret", "s"]
    assert command.main(["switch", *place, "--storage-gib", "20"]) == command.FAILED
    assert done == ["taken back"]
    assert "Interrupted" in capsys.readouterr().err
    assert signal.getsignal(number) == before


@dataclass
class Said:
    """What a box answers."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    asked: list[str] = field(default_factory=list)

    def run(self, instance_id: str, script: str, *, seconds: float) -> Said:
        self.asked.append(script)
        return self


OUTPUTS = {
    "mover": "i-1",
    "database": {"endpoint": "db:5432", "master_secret": "arn:secret", "storage_gib": 20},
}


def test_a_refusal_of_the_box_is_told_as_one() -> None:
    place = Databases.of(OUTPUTS, parameters="/terrace/dev", region="ap-northeast-2")
    with pytest.raises(RefusedError, match="holds no whole copy"):
        ask(Said(4, stderr="rds: holds no whole copy. Make one: copy"), place, "switch")
    with pytest.raises(TerraceError) as failed:
        ask(Said(1, stderr="rds: pg_restore: ended with 1"), place, "copy")
    assert not isinstance(failed.value, RefusedError)


def test_what_is_asked_of_the_box_names_a_secret_and_holds_none() -> None:
    box = Said(0, stdout=json.dumps({"next": "copy"}), stderr="a\n\nb\n")
    place = Databases.of(OUTPUTS, parameters="/terrace/dev", region="ap-northeast-2")
    assert ask(box, place, "plan") == {"next": "copy", "said": ["a", "b"]}
    assert box.asked == [
        "terrace-data plan --region ap-northeast-2 --parameters /terrace/dev --endpoint db:5432 "
        "--master-secret arn:secret --storage-gib 20"
    ]


def test_a_stack_with_one_database_has_nothing_to_move_to() -> None:
    with pytest.raises(TerraceError, match="has no RDS instance"):
        Databases.of({"mover": "i-1"}, parameters="/terrace/dev", region="ap-northeast-2")


def test_the_application_verifies_the_server_and_its_password_may_hold_anything() -> None:
    told = environment("db.mock:5432", "a/b@c")
    assert told["DATABASE_URL"].startswith("postgresql://app:a%2Fb%40c@db.mock:5432/app?sslmode=verify-full")
    assert "a/b@c" not in told["SPRING_DATASOURCE_URL"]
    assert "sslmode=verify-full" in told["SPRING_DATASOURCE_URL"]


def test_a_password_that_is_made_up_lies_under_the_stacks_own_key() -> None:
    parameters = Parameters(Life())
    made = Record(parameters, "/terrace/dev", key_arn="arn:aws:kms:key").verifier()
    assert made.startswith("SCRAM-SHA-256$")
    assert parameters.keys == {"/terrace/dev/database/password": "arn:aws:kms:key"}
