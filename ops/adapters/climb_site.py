"""Where a climb meets the world: one clone, one stack, and the hands and sources that use cases ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from infra.core.cost import Resource
from infra.core.errors import Fault, TerraceError
from infra.core.metrics import BOX_METRICS, GPU_METRICS, LOG_METRICS, RESPONSE
from infra.core.naming import Naming
from infra.core.shape import shape
from infra.core.stages import Option, Stage, find
from infra.settings import Settings, parse, project_name
from ops import stackfile, watch
from ops.adapters.climb_stack import StackOfClimb, database_of, instances_of
from ops.adapters.git import Git
from ops.climb import plan as plans
from ops.climb import rules
from ops.climb.journal import Journal
from ops.climb.lock import Lock as ClimbLock
from ops.climb.moving import Moving
from ops.climb.plan import Bound, Plan
from ops.climb.planning import Previewed
from ops.climb.rules import Figures, Gates
from ops.climb.run import SloMissedError
from ops.climb.steps import Words, moves_data

if TYPE_CHECKING:
    # boto3 is imported where AWS is asked: meanwhile the engine reads the state (ops/climb/status.py).
    from ops.adapters.bucket import S3Objects
    from ops.adapters.climb_cloud import CloudOfClimb

ANSWERS_WITHIN_SECONDS = 300.0
"""How long a box may take after a resize until it answers."""


@dataclass
class Site:
    """One stack from one clone; everything is asked for when it is needed."""

    root: Path
    work_dir: Path
    stack: str
    variables: Mapping[str, str]
    says: Callable[[str], object] = lambda _: None
    on_event: Callable[[Any], Any] | None = None
    answers_before: bool = False
    """Whether the service answered when the plan was made; then it has to afterwards."""
    one_look: bool = False
    """Whether the state is read once for the whole command, as one that changes nothing may."""
    _stack: StackOfClimb | None = field(default=None, repr=False)
    _report: watch.Report | None = field(default=None, repr=False)
    _account: str = field(default="", repr=False)
    _objects: S3Objects | None = field(default=None, repr=False)
    _making: Lock = field(default_factory=Lock, repr=False)

    @property
    def pulumi(self) -> StackOfClimb:
        """The stack by the engine."""
        with self._making:
            if self._stack is None:
                self._stack = StackOfClimb(
                    self.root, self.work_dir, self.naming.project, self.stack, self.variables, self.on_event,
                    one_look=self.one_look,
                )  # fmt: skip
            return self._stack

    @property
    def naming(self) -> Naming:
        """Names of the stack's things."""
        return Naming(project_name(self.work_dir), self.stack)

    @property
    def config(self) -> dict[str, Any]:
        """The stack file's settings as they are written."""
        return stackfile.config(stackfile.path_of(self.work_dir, self.stack))

    @property
    def region(self) -> str:
        """The stack's region."""
        return str(self.config.get("aws:region", ""))

    @property
    def git(self) -> Git:
        """The clone."""
        return Git(self.work_dir)

    @property
    def cloud(self) -> CloudOfClimb:
        """AWS."""
        from ops.adapters.climb_cloud import CloudOfClimb

        return CloudOfClimb(self.region, self.naming)

    @property
    def plans(self) -> Path:
        """Where plans and approvals lie."""
        return self.work_dir / plans.FOLDER

    def settings(self, words: Words | None = None) -> Settings:
        """The stack's settings, with other words where some are given."""
        values = {**self.config, **(words.settings() if words else {})}
        name = stackfile.path_of(self.work_dir, self.stack).name
        return parse({key: value for key, value in values.items() if value is not None}, where=name)

    # -- what is shared between clones ----------------------------------------------------------------------------

    def objects(self) -> S3Objects:
        """The versioned bucket that every clone of this stack reaches: the state's own, else the stack's backups.

        Raises:
            TerraceError: there is none: the stack has never stood.
        """
        from ops.adapters.bucket import S3Objects

        backend = urlsplit(self.variables.get("PULUMI_BACKEND_URL", ""))
        bucket = backend.netloc if backend.scheme == "s3" else ""
        if not bucket:
            bucket = str((self.pulumi.outputs().get("buckets") or {}).get("backups") or "")
        if not bucket:
            raise TerraceError(
                Fault(f"stack {self.stack}", "has no bucket: it does not stand", f"pulumi up -s {self.stack}")
            )
        with self._making:
            if self._objects is None:
                self._objects = S3Objects(bucket, self.region)
            return self._objects

    def journal(self, *, alone: bool = False, must: bool = False) -> Journal:
        """The stack's journal, opened; `alone` reads what this disk has, `must` never without the bucket."""
        path = self.work_dir / ".local" / "climbs" / f"{self.stack}.jsonl"
        journal = Journal(path, self.stack, None if alone else self.objects(), says=self.says)
        journal.open(must=must)
        return journal

    def lock(self) -> ClimbLock:
        """The stack's lock; whenever it is renewed, the composite alarms are told again."""
        return ClimbLock(self.objects(), self.stack, says=self.says, beat=self.cloud.suppress)

    def agreed(self) -> tuple[Gates, str, str]:
        """Gates and signers as the default branch has them, and the text of the gates."""
        branch = self.git.default_branch()
        text = self.git.show(branch, rules.FILE)
        if text is None:
            raise TerraceError(
                Fault(rules.FILE, f"is not on {branch}", "Gates count once they are on the default branch")
            )
        return rules.parse(text, self.stack), text, self.git.show(branch, rules.SIGNERS_FILE) or ""

    # -- sources of a plan ----------------------------------------------------------------------------------------

    def account(self) -> str:
        """Whose credentials these are; asked once."""
        self._account = self._account or self.cloud.account()
        return self._account

    def state_account(self) -> str:
        """The account that the state names."""
        return plans.account_of(self.pulumi.resources())

    def words(self) -> Words:
        """What the stack file says."""
        return self.pulumi.words()

    def stands(self) -> Words:
        """What the guard says that stands."""
        return self.pulumi.stands()

    def resources(self) -> Sequence[Resource]:
        """What stands."""
        return self.pulumi.standing()

    def preview(self, words: Words) -> Previewed:
        """A preview on a copy."""
        return self.pulumi.preview(words)

    def bound(self) -> Bound:
        """What a plan is bound to, as it is now."""
        _, gates, signers = self.agreed()
        book = self.root / "infra" / "core" / "prices" / f"{self.settings().price_book}.yaml"
        return Bound(
            commit=self.git.head(),
            stack_file=plans.digest(self.stack_file()),
            state=plans.state_digest(self.pulumi.resources(fresh=True)),
            prices=plans.digest(book.read_bytes()),
            gates=plans.digest(gates),
            signers=plans.digest(signers),
        )

    def report(self) -> watch.Report | None:
        """The stack against its thresholds; None where alarms cannot be read."""
        if self._report is None:
            from ops.adapters.aws_watch import AwsWatch

            settings = self.settings()
            try:
                self._report = watch.look(
                    AwsWatch(self.region), settings.facts, self.naming, stage=settings.stage
                )
            except TerraceError:
                return None
        return self._report

    def series(self, names: Sequence[str]) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        """Metrics by name, of the last two weeks, by the hour."""
        from ops.adapters.aws_watch import AwsWatch

        instances = instances_of(self.pulumi.resources())
        known = {each.name: each for each in (*BOX_METRICS, *LOG_METRICS, *GPU_METRICS)}
        found: dict[str, watch.Wanted] = {}
        for index, name in enumerate(dict.fromkeys(names)):
            if (metric := known.get(name)) is None:
                raise TerraceError(
                    Fault(
                        f"gates.yaml: {name}", "is no metric of this project", f"Metrics: {', '.join(known)}"
                    )
                )
            values = {
                "InstanceId": next(iter(instances.values()), ""),
                "Stack": self.stack,
                **dict(metric.fixed),
            }
            space = metric.space.named(self.naming.project, self.stack)
            dimensions = {each: values[each] for each in metric.dimensions}
            statistic = "p95" if metric is RESPONSE else "Maximum"
            found[name] = watch.Wanted(f"c{index}", space, name, dimensions, statistic)
        now = datetime.now(UTC)
        data = AwsWatch(self.region).series(list(found.values()), now - timedelta(days=14), now, 3600)
        return {name: data.get(wanted.id, []) for name, wanted in found.items()}

    def figures(self, file: str) -> Figures | None:
        """The finance file of this clone."""
        path = self.work_dir / file
        return rules.figures(path.read_text(encoding="utf-8")) if path.exists() else None

    def offered(self, names: Iterable[str]) -> Mapping[str, bool | None]:
        """Whether each type can be had in the box's zone."""
        return self.cloud.offered(names, str(self.config["terrace:zones"][0]))

    def vcpus_left(self) -> int | None:
        """What the account's quota leaves."""
        return self.cloud.vcpus_left()

    def answers(self) -> bool:
        """Whether the service answers now."""
        from ops.climb import sending

        url = str(self.pulumi.outputs().get("url", ""))
        return bool(url) and sending.answers(url)

    # -- hands of a climb -----------------------------------------------------------------------------------------

    def write(self, words: Words, *, branch: str, base: str, why: str) -> str:
        """Writes the words and commits them on the climb's branch."""
        git = self.git
        if git.branch() != branch and git.head() != base:
            raise TerraceError(
                Fault(
                    "this clone",
                    f"is at {git.head()[:12]}, and the climb's program is {base[:12]}",
                    f"git switch --detach {base}",
                )
            )
        self.pulumi.write(words)
        path = self.pulumi.file
        return git.commit_file(branch, base, path.name, path.read_text(encoding="utf-8"), f"Climb: {why}")

    def stack_file(self) -> str:
        """Its text."""
        return self.pulumi.file.read_text(encoding="utf-8")

    def up(self, *, refresh: bool = False) -> None:
        """Makes the cloud as the words say."""
        self.pulumi.up(refresh=refresh)

    def at_rest(self) -> bool:
        """Whether a preview would change nothing."""
        return self.pulumi.at_rest()

    def recover(self) -> Sequence[str]:
        """Clears up after a killed engine, and a killed git."""
        said = self.git.clear_lock()
        return [*([said] if said else []), *self.pulumi.recover()]

    def restore_point(self, climb: str) -> Mapping[str, Any]:
        """A snapshot of where the rows are: of the data volume at a stage of one box, else of the database."""
        database = database_of(self.pulumi.resources(fresh=True))
        if database and find(self.stands().stage).option is not Option.SINGLE:
            return self.cloud.database_snapshot(database, climb)
        volume = self.pulumi.outputs().get("volume_id")
        if not volume:
            raise TerraceError(Fault("restore point", "there is nothing that holds rows", "Is the stack up?"))
        return self.cloud.snapshot(str(volume), climb)

    def restore_point_faults(self, point: Mapping[str, Any]) -> Sequence[str]:
        """Why it could not be restored from."""
        if database := point.get("database"):
            return self.cloud.database_snapshot_faults(str(point["snapshot"]), str(database))
        return self.cloud.snapshot_faults(str(point["snapshot"]), str(point["volume"]))

    def serving(self, stage: str) -> Sequence[str]:
        """Boxes that do not run as they should, and a service that does not answer where it did before."""
        resources = self.pulumi.resources(fresh=True)
        wanted = shape(find(stage), sizes=self.settings().sizes)
        instances = instances_of(resources)
        faults = self.cloud.machine_faults(wanted, instances)
        faults = faults or self._unready([instances[box.name] for box in wanted.boxes], find(stage))
        if faults or not self.answers_before:
            return faults
        from ops.climb import sending

        url = str(self.pulumi.outputs().get("url", ""))
        deadline = datetime.now(UTC) + timedelta(seconds=ANSWERS_WITHIN_SECONDS)
        while not sending.answers(url):
            if datetime.now(UTC) > deadline:
                return [f"{url} has not answered for {ANSWERS_WITHIN_SECONDS:.0f} s"]
        return []

    def _unready(self, boxes: Sequence[str], stage: Stage) -> list[str]:
        """What must serve before requests go to another side; where rows move, nothing can until they have."""
        before = find(self.words().stage)
        if before.option is stage.option or moves_data(before, stage):
            return []
        from ops.adapters import climb_ready

        released = climb_ready.deployed(self.pulumi.outputs(), self.region)
        faults = climb_ready.boxes(boxes, self.region) if released else []
        if not faults and stage.option is Option.PRIVATE:
            faults = climb_ready.targets(self.pulumi.resources(), self.region)
        return faults

    def unready(self, stage: str) -> Sequence[str]:
        """What of the boxes' services is not healthy once there was time for it; nothing where no release serves."""
        from ops.adapters import climb_ready

        instances = instances_of(self.pulumi.resources(fresh=True))
        wanted = shape(find(stage), sizes=self.settings().sizes)
        if not climb_ready.deployed(self.pulumi.outputs(), self.region):
            return []
        return climb_ready.boxes([instances[box.name] for box in wanted.boxes], self.region)

    def linger(self, seconds: float) -> None:
        """Waits, where a release serves: elsewhere nobody can have asked."""
        from ops.adapters import climb_ready

        if climb_ready.deployed(self.pulumi.outputs(), self.region):
            self.says(f"waits {seconds:.0f} s for those who remember where the name led")
            time.sleep(seconds)

    def watched(self, stage: str) -> Sequence[str]:
        """Alarms and budget of the stage that do not stand."""
        settings = self.settings()
        faults = [] if settings.stage == stage or settings.stage == self.words().stage else ["another stage"]
        faults += self.cloud.alarm_faults(settings.facts)
        if settings.budget is not None:
            shown = self.cloud.budget(self.account())
            if shown is None or shown[0] != settings.budget.aws_usd:
                limit = "missing" if shown is None else f"{shown[0]} USD"
                faults.append(f"the budget is {limit}, not {settings.budget.aws_usd} USD")
        return faults

    def load_test(self, peak_rps: float, stage: str) -> Mapping[str, Any]:
        """1.5 times the peak against the stage's objectives, capped; left out where gates.yaml says so."""
        asked = self.agreed()[0].rules.load_test
        if not asked.seconds:
            return {"left_out": "gates.yaml: load_test.seconds is 0"}
        import asyncio

        from ops.climb import sending

        url = str(self.pulumi.outputs().get("url", ""))
        if not url or not sending.answers(url):
            raise SloMissedError(
                Fault("load test", f"nothing answers at {url or 'no address'}", "Look at the box")
            )
        rate = max(peak_rps * 1.5, asked.least_rps)
        most = min(int(rate * asked.seconds), asked.most_requests)
        sent = sending.Sent()
        asyncio.run(
            sending.send(
                urljoin(url, asked.path), rate=rate, sent=sent, go_on=lambda so_far: so_far.count < most
            )
        )
        aims = find(stage).objectives
        failed = Decimal(100 * len(sent.failures)) / max(sent.count, 1)
        p95 = sent.quantile_ms(0.95)
        told = {
            "sent": sent.count,
            "rate": round(rate, 2),
            "p95_ms": round(p95, 1),
            "failed": len(sent.failures),
        }
        if failed > aims.errors_5xx_percent or p95 > aims.api_p95_ms:
            raise SloMissedError(
                Fault(
                    "load test",
                    f"p95 {p95:.0f} ms, {failed:.2f} % failed of {sent.count} at {rate:.1f}/s; the objective is "
                    f"{aims.api_p95_ms} ms and {aims.errors_5xx_percent} %",
                    "Find the slow part before the climb goes on",
                )
            )
        return told

    def rows(self, plan: Plan, *, all_ready: bool = False) -> Moving:
        """The move of the rows, by the box that the climb's own outputs name."""
        from ops.adapters import climb_data

        beside = instances_of(self.pulumi.resources(fresh=True)).values() if all_ready else ()
        ask = climb_data.asking(
            self.pulumi.outputs(fresh=not all_ready), parameters=self.naming.parameter().rstrip("/"),
            region=self.region, beside=list(beside),
        )  # fmt: skip
        return climb_data.moving(ask, plan, self.says)

    @contextmanager
    def probe(self, *, until_it_answers: bool) -> Generator[Callable[[], Mapping[str, Any]]]:
        """Asks the service while the block lasts, and with `until_it_answers` until it answers again."""
        from ops.climb import sending

        with sending.probing(
            str(self.pulumi.outputs().get("url", "")), certain=self.answers_before
        ) as result:

            def ended() -> Mapping[str, Any]:
                url = str(self.pulumi.outputs().get("url", ""))
                deadline = datetime.now(UTC) + timedelta(seconds=ANSWERS_WITHIN_SECONDS)
                while (
                    until_it_answers
                    and self.answers_before
                    and not sending.answers(url)
                    and datetime.now(UTC) < deadline
                ):
                    pass
                return result()

            yield ended
