"""What `scale_up.py drill` does: a climb and its way back in an embedded cloud of its own, killed once if asked.

The stack file's own settings, but nothing that reaches out of it: no name, budget, GPU, or application's settings.
No gate is asked, and no real account: the drill tells how the climb goes, not whether it may be made.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import climb_served
import yaml

from embedded import sample
from embedded.cloud import Cloud
from embedded.environment import speaking
from infra.core.errors import Fault, TerraceError
from infra.core.naming import FAKE_AMI, Naming
from infra.core.stages import Option, find
from infra.settings import project_name
from ops import stackfile
from ops.adapters.engine import Engine
from ops.climb import steps
from ops.talk import Exit, step

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "terrace"
LEFT_OUT = tuple(f"terrace:{name}" for name in ("domain", "dns", "edge", "budget", "gpu", "app", "alerts"))
DOMAIN = "drill.example.com"
OF_THE_STAGE = tuple(f"terrace:{name}" for name in ("climb", "kept", "released"))
READY_SECONDS = 400.0
ROWS = 500
"""As TABLE makes them."""
ASK = (
    "PYTHONPATH=/opt/terrace/current/lib python3 -c 'from infra.host.box import settings, system; "
    "print(settings.password(system.facts()))'"
)
TABLE = """
create table drilled (id bigint generated always as identity primary key, said text);
insert into drilled (said) select 'row ' || i from generate_series(1, 500) i
"""
WRITER = """
cat > /root/writer <<'EOF'
while id=$(psql -XAtq 'host=127.0.0.1 dbname=app user=app' -c "insert into drilled (said) values ('x') returning id")
do echo "$id" >> /root/acknowledged; sleep 0.2; done
EOF
nohup sh /root/writer > /dev/null 2>&1 &
"""


def drill(root: Path, stack: str, to: str, *, boxes: bool, kill: str, begin: str = "") -> dict[str, Any]:
    """The climb there and back; what it took. `kill`: SIGKILL once the journal says that this step is done.

    It begins at the stage `begin`, or where the stack file stands. With machines and across options the sample
    serves, and what a load by its name saw is told.

    Raises:
        TerraceError: it cannot be drilled so, or a command of it failed; what it said is in the fault.
    """
    before, after = find(begin or _stage(root, stack), path="--from"), find(to, path="--to")
    walk = steps.walk(before, after)
    _refuse(before.option, moves=steps.moves_data(before, after), boxes=boxes)
    if kill and kill not in [each.name for each in walk]:
        known = ", ".join(each.name for each in walk)
        raise TerraceError(Fault("--kill", f"{kill} is no step of this climb", f"Steps: {known}"))
    directory = root / ".local" / "drill" / stack
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with Cloud(directory / "cloud", cache=CACHE, boxes=boxes) as cloud:
        if boxes and cloud.machines is None:
            raise TerraceError(
                Fault("--boxes", f"no machines can be had: {cloud.without_boxes}", "Run it as root, on Linux")
            )
        named = before.option is not after.option and (
            boxes or Option.PRIVATE in (before.option, after.option)
        )
        drilled = _Drill(root, directory / "clone", stack, before.name, cloud, boxes=boxes)
        with speaking(cloud.variables()):
            found = drilled.run(to, kill, named=named)
    shutil.rmtree(directory)  # machines' disks are large; a drill that failed leaves them to be looked at
    return found


def _refuse(option: Option, *, moves: bool, boxes: bool) -> None:
    if moves and not boxes:
        raise TerraceError(
            Fault("--boxes", "is needed: rows move between databases, and only machines have some", "--boxes")
        )
    if moves and option is not Option.SINGLE:
        raise TerraceError(
            Fault("--to", "this way is drilled as the way back of the other", "Drill from a stage of one box")
        )


def _stage(root: Path, stack: str) -> str:
    return str(stackfile.config(stackfile.path_of(root, stack))["terrace:stage"])


@dataclass
class _Drill:
    """One drill in its own clone, on its own cloud."""

    root: Path
    clone: Path
    stack: str
    before: str
    cloud: Cloud
    boxes: bool
    instance: str = ""
    endpoint: str = ""
    password: str = field(default="", repr=False)

    def run(self, to: str, kill: str, *, named: bool) -> dict[str, Any]:
        self._lay_out(named=named)
        moves = steps.moves_data(find(self.before), find(to))
        with step("up", "the stage before, in a cloud of its own") as line:
            engine = Engine(self.root, self.stack, variables=self.variables, work_dir=self.clone)
            outputs = engine.up()
            _git(self.clone, "add", "-A")
            _git(self.clone, "commit", "-q", "-m", "The drill's own clone")
            line.says(f"{self.before} stands")
        if moves:
            with step("rows", "the box installs itself") as line:
                self._ready(str(outputs["instance_id"]))
                self._sql("127.0.0.1", TABLE)
                self._tried(WRITER)
                line.says(f"{ROWS} rows, and more are written until the fence")
        elif self.boxes and find(to).option is Option.SINGLE:
            with step("application", "the box installs itself, then the sample service") as line:
                self._ready(str(outputs["instance_id"]))
                self._serve()
                line.says("answers; each request that it loses is counted, none is sent twice")
        served = self._served(outputs) if named and self.boxes else None
        with step("plan", "previewing on a copy") as line:
            made = json.loads(self.scale("plan", "--to", to, "--output", "json", code=Exit.CHANGE))
            line.says(
                f"{made['id']}: {len(made['changes'])} changes, about {made['away_seconds']:.0f} s away"
            )
        with step("climb", "step by step") as line, _loaded(served, "there") as there:
            killed = self._climb(made["id"], kill)
            row = self._row()
            line.says(_said(row) + (f"; killed behind {kill}, resumed" if killed else ""))
        rows = self._moved(engine, served) if served and moves else None
        with step("back", "step by step") as line, _loaded(served, "back") as back_again:
            self.scale("rollback", "--yes")
            back = self._row()
            line.says(_said(back))
        if rows is not None and served is not None:
            rows["receipts"] |= self._receipts(served, "127.0.0.1", "there", "back")
            rows["after_the_way_back"] = int(self._sql("127.0.0.1", "select count(*) from drilled"))
            _refuse_loss(rows, rows["after_the_way_back"], rows["in_the_new_database"] + 1)
        return {
            "stack": self.stack, "before": row["before"], "after": row["after"], "machines": self.boxes,
            "killed_behind": kill if killed else None, "steps": row["steps"], "resumed": row["resumed"],
            **{f"forecast_{name}": row[f"forecast_{name}"] for name in ("away_seconds", "held")},
            "away_seconds": row["away_seconds"], "requests_lost": row["requests_lost"], "rows": rows,
            "load": {"there": there, "back": back_again} if served else None,
            "way_back": back["ended"],
            "back": {name: back[name] for name in ("forecast_away_seconds", "away_seconds", "requests_lost")},
        }  # fmt: skip

    def _served(self, outputs: Mapping[str, Any]) -> climb_served.Served:
        """The sample, serving on the boxes."""
        naming = Naming(project_name(self.clone), self.stack)
        region = str(stackfile.config(stackfile.path_of(self.clone, self.stack))["aws:region"])
        served = climb_served.Served(self.cloud, self.clone.parent, DOMAIN, naming, region, CACHE)
        with step("release", "the boxes install themselves") as line:
            served.ready(outputs)
            line.says(f"{climb_served.VERSION} serves")
        return served

    @property
    def variables(self) -> dict[str, str]:
        """Where the drill lives: nothing of the caller's own cloud or backend."""
        state = self.clone.parent / "state"
        state.mkdir(exist_ok=True)
        return {
            **self.cloud.variables(), "PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": str(self.clone.parent / "pulumi-home"),
        }  # fmt: skip

    def scale(self, *arguments: str, code: int = Exit.DONE) -> str:
        """What scripts/scale_up.py printed."""
        process = self._begin(*arguments)
        stdout, stderr = process.communicate()
        if process.returncode != code:
            raise TerraceError(
                Fault(
                    f"scale_up {arguments[0]}",
                    f"ended with {process.returncode}: {(stderr.strip() or stdout.strip())[-1500:]}",
                    f"Look at {self.clone}",
                )
            )
        return stdout

    def _begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.root / "scripts" / "scale_up.py"), *arguments, "--stack", self.stack],
            env=self._environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        ambient = {
            name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))
        }
        return {**ambient, **self.variables, "TERRACE_WORK_DIR": str(self.clone)}

    def _climb(self, plan: str, kill: str) -> bool:
        """Applies the plan; whether it was killed, and resumed."""
        if not kill:
            self.scale("apply", plan, "--yes")
            return False
        process = self._begin("apply", plan, "--yes")
        journal = self.clone / ".local" / "climbs" / f"{self.stack}.jsonl"
        while process.poll() is None and not _is_done(journal, kill):
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        stderr = process.communicate()[1]
        if process.returncode != -signal.SIGKILL:
            raise TerraceError(
                Fault(
                    "apply",
                    f"ended with {process.returncode} before it could be killed: {stderr[-1500:]}",
                    "Name an earlier step",
                )
            )
        self.scale("resume", "--yes")
        return True

    def _row(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scale("history", "--output", "json"))[-1]
        return found

    def _lay_out(self, *, named: bool) -> None:
        self.clone.mkdir()
        for name in ("Pulumi.yaml", "allowed_signers", ".gitignore"):
            shutil.copy(self.root / name, self.clone / name)
        with (self.clone / ".gitignore").open("a", encoding="utf-8") as file:
            file.write("\n/.venv\n")
        for name in ("infra", ".venv"):
            (self.clone / name).symlink_to(self.root / name)
        config = stackfile.config(stackfile.path_of(self.root, self.stack))
        settings = {name: value for name, value in config.items() if name not in LEFT_OUT}
        settings["terrace:ami"] = FAKE_AMI
        if self.before != settings["terrace:stage"]:
            settings = {name: value for name, value in settings.items() if name not in OF_THE_STAGE}
            settings["terrace:stage"] = self.before
        if named:
            settings |= {"terrace:domain": DOMAIN, "terrace:dns": {"zoneId": self._zone()}}
        path = self.clone / f"Pulumi.{self.stack}.yaml"
        stackfile.write(path, yaml.safe_dump({"config": settings}, sort_keys=False))
        (self.clone / "gates.yaml").write_text(
            f"stacks: {{{self.stack}: {{load_test: {{seconds: 0}}}}}}\n", encoding="utf-8"
        )
        _git(self.clone, "init", "-q", "-b", "main")
        for key, value in {"user.name": "terrace drill", "user.email": "drill@example.com"}.items():
            _git(self.clone, "config", key, value)

    def _zone(self) -> str:
        import boto3

        variables = self.cloud.variables()
        session: Any = boto3.Session(
            region_name=variables["AWS_REGION"], aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        route53 = session.client("route53", endpoint_url=variables["AWS_ENDPOINT_URL"])
        zone = route53.create_hosted_zone(Name="example.com", CallerReference="drill")["HostedZone"]["Id"]
        return str(zone).rpartition("/")[2]

    # -- rows -----------------------------------------------------------------------------------------------------

    def _ready(self, instance: str) -> None:
        """Waits until the box has installed itself."""
        self.instance = instance
        deadline = time.monotonic() + READY_SECONDS
        while _state(self._tried("terrace-host status --json")) != "done":
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault(instance, f"was not installed within {READY_SECONDS:.0f} s", "Run it again")
                )
            time.sleep(1)
        self.password = self._tried(ASK)

    def _serve(self) -> None:
        """The sample service as scripts/deploy.py puts it onto a box."""
        release = sample.lay_out(self.clone.parent / "release", "v1", cache=CACHE)
        for words in (("publish", str(release)), ("release", "v1", "--yes")):
            done = subprocess.run(
                [sys.executable, str(self.root / "scripts" / "deploy.py"), *words, "--stack", self.stack],
                env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise TerraceError(
                    Fault(f"deploy {words[0]}", done.stderr.strip()[-1500:], f"Look at {self.clone}")
                )

    def _moved(self, engine: Engine, served: climb_served.Served) -> dict[str, Any]:
        """What was acknowledged before the fence, and what the new database has."""
        self.endpoint = str(engine.outputs()["database"]["endpoint"]).partition(":")[0]
        acknowledged = {int(each) for each in self._tried("cat /root/acknowledged").split()}
        new = f"{self.endpoint} sslmode=require"
        held = {int(each) for each in self._sql(new, "select id from drilled").split()}
        rows = {"written_under_load": len(acknowledged), "in_the_new_database": len(held),
                "missing": len(acknowledged - held)}  # fmt: skip
        _refuse_loss(rows, len(held), ROWS + len(acknowledged))
        self._sql(new, "insert into drilled (said) values ('on the new side')")
        return {**rows, "receipts": self._receipts(served, new, "there")}

    def _receipts(self, served: climb_served.Served, host: str, *loads: str) -> dict[str, int]:
        """What the service acknowledged to the load, and what that database has of it."""
        acknowledged = sum(served.written(each) for each in loads)
        held = int(self._sql(host, "select count(*) from receipts") or 0)
        told = {f"acknowledged_{loads[-1]}": acknowledged, f"held_{loads[-1]}": held}
        _refuse_loss(told, held, acknowledged)
        return told

    def _tried(self, script: str) -> str:
        from embedded.boxes import BoxesError

        assert self.cloud.machines is not None  # noqa: S101 asked for before
        password = f"export PGPASSWORD={shlex.quote(self.password)}\n" if self.password else ""
        try:
            done = self.cloud.machines.host.run(self.instance, password + script, timeout_seconds=120)
        except BoxesError:
            return ""  # it does not stand yet
        return str(done.stdout).strip() if done.returncode == 0 else ""

    def _sql(self, host: str, query: str) -> str:
        line = f"psql -XAtq -v ON_ERROR_STOP=1 'host={host} dbname=app user=app' -c {shlex.quote(query)}"
        return self._tried(line)


@contextmanager
def _loaded(served: climb_served.Served | None, called: str) -> Generator[dict[str, Any]]:
    """A load while the block lasts, and until all of it has come to where the name leads; then what it came to."""
    found: dict[str, Any] = {}
    if served is None:
        yield found
        return
    with served.load(called) as load:
        yield found
        found["ended_at"] = served.turned(called)
    found |= climb_served.said(load.report)


def _refuse_loss(rows: Mapping[str, Any], found: int, least: int) -> None:
    if found < least:
        raise TerraceError(
            Fault(
                "rows",
                f"{found} are there, and {least} were acknowledged: {rows}",
                "This is a defect of terrace",
            )
        )


def _state(text: str) -> str:
    return str(json.loads(text)["state"]) if text.startswith("{") else ""


def _is_done(journal: Path, name: str) -> bool:
    """Whether the journal says that the step is done; its last line may still be half written."""
    if not journal.exists():
        return False
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            return False
        if (record["step"], record["event"]) == (name, "after"):
            return True
    return False


def _said(row: Mapping[str, Any]) -> str:
    away = "nothing: nobody answered" if row["away_seconds"] is None else f"{row['away_seconds']:.0f} s"
    lost = "" if row["requests_lost"] is None else f", {row['requests_lost']} requests lost"
    return f"{row['ended']}; forecast {row['forecast_away_seconds']:.0f} s away, measured {away}{lost}"


def _git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=directory, check=True)
