#!/usr/bin/env python3
"""The GPU endpoint: how it stands, which mode it is in, receipts read by it, what it costs."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import atexit
import getpass
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from infra.clients.calling import Caller, Patience, RunPodError
from infra.clients.over_httpx import HttpxTransport
from infra.clients.runpod import RunPod
from infra.clients.runpod_jobs import Jobs
from infra.clients.runpod_key import KEY_PARAMETER, find_key
from infra.core.errors import Fault, TerraceError
from infra.core.gpu import bodies
from infra.core.gpu.decide import Override
from infra.core.gpu.definition import FILE, load, load_policy
from infra.core.gpu.modes import Mode
from infra.core.gpu.traces import SHAPES, make
from infra.core.naming import Naming
from infra.host.box.gpu.aws import Given, S3Store, clients, given
from infra.host.box.gpu.controller import Controller
from infra.host.box.gpu.inferences import Inferences
from infra.host.box.gpu.record import Journal, take_override
from infra.settings import project_name
from ops import stackfile
from ops.adapters.aws_account import AwsAccount
from ops.adapters.gpu import PublishedDigests
from ops.gpu import compared
from ops.gpu.bill import HEAD, Bill, counted
from ops.gpu.images import prepare
from ops.gpu.pin import KEYS as PINNED
from ops.gpu.pin import pin as pin_digests
from ops.gpu.receipts import Verdict
from ops.gpu.report import chart
from ops.gpu.report import report as make_report
from ops.gpu.usage import FORGOTTEN, Answered, Pending, Reader, Records
from ops.talk import Exit, Output, command, confirm, err, show, step, table

ROOT = _venv.ROOT
RECORDS = ROOT / ".local" / "gpu"
CONNECTIONS = ExitStack()
atexit.register(CONNECTIONS.close)
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
key_app = typer.Typer(help="The RunPod key of a stack.", no_args_is_help=True)
secret_app = typer.Typer(help="Secret variables of the worker.", no_args_is_help=True)
app.add_typer(key_app, name="key")
app.add_typer(secret_app, name="secret")
Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose endpoint is meant")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Within = Annotated[
    float,
    typer.Option(
        min=0, help="wait so many seconds; 0: three cold starts and the job's timeout, where it waits"
    ),
]
Out = Annotated[Output, typer.Option("--output", "-o", help="how data is printed")]


@app.command()
@command
def status(*, stack: Stack = "dev", output: Out = Output.TABLE) -> None:
    """Say how the endpoint stands: workers, queue, mode, lease, money, and where it differs from what is defined.

    A difference says what it asks for: scale-only takes hold at once, placement as workers are replaced, a release
    replaces them all, a replacement makes another endpoint. Pulumi brings it about: pulumi refresh, then pulumi up.
    """
    naming, region, found = _given(stack)
    api, jobs = _clients(naming, found, region)
    endpoint = api.endpoint(found.plan.endpoint_id)
    if endpoint is None:
        raise TerraceError(Fault(found.plan.endpoint_id, "is gone", "pulumi refresh, then pulumi up"))
    health, document = jobs.health(), S3Store(found.bucket, region).load()[0]
    workers, definition = api.workers(endpoint.id), load()
    differences = bodies.differences(
        definition,
        found.plan.envelope,
        endpoint.body,
        name=naming.physical(definition.name),
        registries={each.name: each.id for each in api.registries()} if definition.registry else {},
    )
    data: dict[str, Any] = {
        "endpoint": endpoint.id,
        "name": endpoint.name,
        "set": str(endpoint.workers),
        "mode": document.state.mode.value,
        "why": document.why,
        "findings": list(document.findings),
        "workers": [f"{each.id} {each.status.value}" for each in workers],
        "queued": health.queued,
        "in_progress": health.in_progress,
        "completed": health.completed,
        "failed": health.failed,
        "leader": document.lease.holder or "none yet",
        "override": ""
        if document.override is None
        else f"{document.override.mode}: {document.override.reason}",
        "month_usd": round(document.money.usd, 4),
        "budget_usd": found.plan.budget_usd,
        "differences": [each.said for each in differences],
    }
    show(data, table(("", ""), [(name, _plain(value)) for name, value in data.items()]), output)


@app.command()
@command
def plan(*, output: Out = Output.TABLE) -> None:
    """Show what runpod/endpoint.yaml comes to, with the arithmetic of the GPU's memory. Asks nobody."""
    definition = load()
    lines = definition.memory_lines()
    rows = [
        *lines,
        ("longest request", f"{definition.request_tokens} tokens"),
        ("image", definition.image.reference),
    ]
    rows += [(f"stand-in: {path}", "fill it with: scripts/gpu.py pin") for path in definition.stand_ins]
    show({"memory": dict(lines), "stand_ins": definition.stand_ins}, table(("", ""), rows, right=()), output)


@app.command()
@command
def mode(
    wanted: Annotated[
        str,
        typer.Argument(help="flex, soft, active or closed; auto ends an override, and a rest after failures"),
    ],
    *,
    hours: Annotated[float, typer.Option(help="how long it holds, up to 336")] = 4.0,
    reason: Annotated[str, typer.Option(help="why; it is kept in the journal")] = "",
    stack: Stack = "dev",
    yes: Yes = False,
) -> None:
    """Override the controller for a while. The budget still comes before it."""
    known = [each.value for each in Mode] + ["auto"]
    if wanted not in known:
        raise typer.BadParameter(f"{wanted!r} is none of {', '.join(known)}")
    if not 0 < hours <= 336:
        raise typer.BadParameter(f"{hours} is not within 0 and 336 hours")
    chosen = None
    if wanted != "auto":
        if not reason:
            raise typer.BadParameter("--reason is missing: somebody will ask why")
        chosen = Override(Mode(wanted), time.time() + hours * 3600, getpass.getuser(), reason)
    naming, region, found = _given(stack)
    what = (
        "end the override, and a rest after failures" if chosen is None else f"keep {wanted} for {hours:g} h"
    )
    confirm(f"Endpoint {found.plan.endpoint_id} of {naming.prefix}: {what}?", yes=yes)
    take_override(S3Store(found.bucket, region), chosen)
    err.print(f"{naming.prefix}: {what}; the controller acts at its next round", markup=False)


@app.command()
@command
def run(
    *,
    stack: Stack = "dev",
    rounds: Annotated[int, typer.Option(min=0, help="how many rounds; 0: until interrupted")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be set, and set nothing")
    ] = False,
) -> None:
    """Be the controller from here: one round a minute, leading only where no box leads."""
    naming, region, found = _given(stack)
    api, jobs = clients(naming, found, region=region, transport=_transport())
    controller = Controller(
        api, jobs, S3Store(found.bucket, region), Journal(RECORDS / f"{stack}.journal.jsonl"), found.plan,
        found.policy, socket.gethostname(), time.time, clients=Inferences([RECORDS / f"{stack}.records.jsonl"]),
        dry_run=dry_run,
    )  # fmt: skip
    count = 0
    while True:
        made = controller.round()
        err.print(f"{datetime.now(UTC):%H:%M:%S}  {made.role:<9} {made.said}", markup=False)
        count += 1
        if count == rounds:
            return
        time.sleep(made.next_check_seconds)


@app.command()
@command
def invoke(
    picture: Annotated[Path, typer.Argument(help="a photo of a receipt")],
    *,
    stack: Stack = "dev",
    wait: Annotated[
        bool | None,
        typer.Option(
            help="wait for the answer, through a cold start too; by default only where a worker is ready"
        ),
    ] = None,
    within: Within = 0.0,
    job: Annotated[str, typer.Option(help="look again at a job that was sent before; sends nothing")] = "",
    output: Out = Output.TABLE,
) -> None:
    """Read a receipt by the endpoint and print it; nothing is sent twice.

    Where no worker is ready, as `flex` has it most of the time, the answer is "being analysed" and the job's id, with
    which `gpu.py job` asks again.
    """
    definition = load()
    made = prepare(picture, largest_pixels=definition.largest_pixels)
    reader = _reader(stack)
    waits = wait if wait is not None else bool(within or job) or reader.answers_soon()
    limit = (within or None) if waits else 0.0
    _ask(
        lambda sent: reader.read(made, wait_seconds=limit, job_id=job, sent=sent),
        job, str(picture), stack, output, waits=waits,
    )  # fmt: skip


@app.command()
@command
def job(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="its id, as `invoke` said it")],
    *,
    stack: Stack = "dev",
    wait: Annotated[bool, typer.Option("--wait", help="wait for the answer")] = False,
    within: Within = 0.0,
    output: Out = Output.TABLE,
) -> None:
    """Ask again for a receipt that is being analysed, and print it once it is there. Sends nothing."""
    reader, waits = _reader(stack), wait or bool(within)
    limit = (within or None) if waits else 0.0
    _ask(
        lambda _: reader.again(job_id, wait_seconds=limit), job_id, job_id, stack, output, waits=waits
    )  # fmt: skip


@app.command()
@command
def cancel(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="its id, as `invoke` said it")],
    *,
    stack: Stack = "dev",
    yes: Yes = False,
) -> None:
    """Take a job out of the queue, or stop it. What ended is left as it is."""
    jobs = _reader(stack).jobs
    found = jobs.status(job_id)
    if found is None:
        raise TerraceError(Fault(job_id, FORGOTTEN, "Look at the id"))
    if found.status.ended:
        err.print(f"{job_id} has ended already: {found.status.value}", markup=False)
        return
    confirm(f"Cancel job {job_id}, which is {found.status.value}?", yes=yes)
    err.print(f"{job_id} is {jobs.cancel(job_id).status.value}", markup=False)


@app.command()
@command
def report(
    *,
    stack: Stack = "dev",
    svg: Annotated[Path | None, typer.Option(help="where the chart is written")] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(help="a log of the backend with its inferences, instead of those of `invoke` from here"),
    ] = None,
    output: Out = Output.TABLE,
) -> None:
    """Say what the records of a validation come to: quality, failure patterns, waits."""
    _stack(stack)
    for each in log or ():
        if not each.is_file():
            raise typer.BadParameter(f"{each} is no file")
    records = [each for path in log or [RECORDS / f"{stack}.records.jsonl"] for each in Records(path).all()]
    made = make_report(records)
    if not records:
        err.print("No inference is on record: scripts/gpu.py invoke, or --log FILE", markup=False)
    if svg is not None:
        svg.write_text(chart(records), encoding="utf-8")
        err.print(f"chart written: {svg}", markup=False)
    show(made.as_data(), table(("", ""), [(name, _plain(v)) for name, v in made.as_data().items()]), output)


@app.command()
@command
def bill(
    *,
    stack: Stack = "dev",
    days: Annotated[int, typer.Option(min=1, max=366, help="how far back")] = 30,
    output: Out = Output.TABLE,
) -> None:
    """Show what RunPod has billed, beside what the controller has counted this month; 1 where they disagree.

    Compared are the GPU's hours from the controller's first look of the month to its last. Disk and fee are billed
    beside them and are in no budget here.
    """
    naming, region, found = _given(stack)
    api, _ = _clients(naming, found, region)
    now, endpoint = datetime.now(UTC), found.plan.endpoint_id
    records = api.billing(start=now - timedelta(days=days), end=now, endpoint_id=endpoint)
    count, hours = counted(S3Store(found.bucket, region).load()[0]), []
    if count is not None:
        hours = api.billing(start=count.start, end=count.end, bucket="hour", endpoint_id=endpoint)
    made = Bill(records, hours, count)
    show(made.as_data(), table(HEAD, made.rows(), right=(1, 2, 3, 4)), output)
    if count is None:
        err.print("Nothing is counted yet: the controller has not looked", markup=False)
    if count is not None and made.disagrees:
        said = f"{made.difference_usd:+.2f} USD: {made.billed_usd:.2f} were billed, {count.usd:.2f} counted"
        remedy = (
            "Was the controller away, is usd_per_second of runpod/policy.yaml the rate, is the bill late?"
        )
        raise TerraceError(Fault("bill and count differ by", said, remedy))


@app.command()
@command
def simulate(
    *,
    shape: Annotated[str, typer.Option(help=f"one of {', '.join(SHAPES)}")] = "meals",
    users: Annotated[int, typer.Option(min=1, max=1_000_000, help="users of a month")] = 500,
    days: Annotated[int, typer.Option(min=1, max=31)] = 7,
    share: Annotated[float, typer.Option(min=0, max=1, help="share of receipts that is sent")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, max=100, help="most workers at once")] = 2,
    seed: int = 1,
    output: Out = Output.TABLE,
) -> None:
    """Compare policies on made-up arrivals: bill, waits, cold starts, flips, and the clairvoyant optimum."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"{shape!r} is none of {', '.join(SHAPES)}")
    definition, policy = load(), load_policy()
    if definition.idle_timeouts is None:
        raise TerraceError(Fault("runpod/endpoint.yaml", "has no idle timeouts", "Scale by QUEUE_DELAY"))
    made = make(shape, users=users, days=days, seed=seed, share=share, most_workers=workers)
    found = compared.compare(made, policy, definition.idle_timeouts)
    if said := compared.too_large(made, policy):
        err.print(said, markup=False)
    shown = table(compared.HEAD, compared.rows(found), right=tuple(range(1, 8)))
    show(compared.as_data(found), shown, output)


@app.command()
@command
def adopt(endpoint_id: str, *, stack: Stack = "dev", yes: Yes = False) -> None:
    """Give an endpoint that stands already the name by which the next `pulumi up` takes it over."""
    naming, region = _stack(stack)
    api = _api(naming, region)
    name = naming.physical(load().name)
    endpoint = api.endpoint(endpoint_id)
    if endpoint is None:
        raise TerraceError(Fault(endpoint_id, "is no endpoint of this key's account", "Look at the id"))
    if twins := [each.id for each in api.named(name) if each.id != endpoint_id]:
        raise TerraceError(Fault(name, f"stands already: {', '.join(twins)}", "Delete or rename it first"))
    if endpoint.name == name:
        err.print(f"{endpoint_id} bears the name {name} already; pulumi up takes it over", markup=False)
        return
    confirm(f"Rename endpoint {endpoint_id} from {endpoint.name} to {name}?", yes=yes)
    api.patch(endpoint_id, {"name": name})
    err.print(
        f"{endpoint_id} is {name}; pulumi up takes it over and shows what it would change", markup=False
    )


@app.command()
@command
def registry(name: str, username: str, *, stack: Stack = "dev") -> None:
    """Give RunPod a credential of a private registry; the password comes from standard input and is kept nowhere."""
    naming, region = _stack(stack)
    api = _api(naming, region)
    if found := [each.id for each in api.registries() if each.name == name]:
        err.print(f"{name} stands already ({found[0]}); delete it in the console to change it", markup=False)
        return
    password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.read()
    if not password.strip():
        raise TerraceError(Fault(name, "got an empty password", "Give it on standard input"))
    made = api.create_registry(name, username, password.strip())
    err.print(f"{name} is {made.id}; name it in runpod/endpoint.yaml (registry: {name})", markup=False)


@app.command()
@command
def pin(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help=f"one of {', '.join(PINNED)}; may be repeated")
    ] = None,
    file: Annotated[Path, typer.Option(help="the definition that is written")] = FILE,
) -> None:
    """Write the publishers' digests and the model's revision into runpod/endpoint.yaml.

    The image's own digest is there once the workflow gpu-image has pushed it: `--only image.digest` then, so that the
    model's revision stays the one that the image was built from.
    """
    with step("pin", "asking the registry and the model hub") as line:
        made = pin_digests(PublishedDigests(), path=file, only=only or ())
        line.says(", ".join(made.changed) or "nothing is newer")
    for name, value in made.changed.items():
        err.print(f"  {name}: {value}", markup=False)
    for name, why in made.waiting.items():
        err.print(f"  {name} waits: {why}", markup=False, soft_wrap=True)
    if made.failed:
        raise TerraceError(*made.failed)


@key_app.command(name="set")
@command
def key_set(*, stack: Stack = "dev") -> None:
    """Fill the stack's RunPod key from standard input; it is shown nowhere."""
    naming, region = _stack(stack)
    _fill(naming.parameter(*KEY_PARAMETER), "RunPod key", region, stack)


@secret_app.command(name="set")
@command
def secret_set(name: str, *, stack: Stack = "dev") -> None:
    """Fill a secret variable of the worker from standard input."""
    naming, region = _stack(stack)
    known = load().secret_environment
    if name not in known:
        said = f"Secrets: {', '.join(known) or 'none'} (secret_environment in runpod/endpoint.yaml)"
        raise TerraceError(Fault(name, "is no secret of the definition", said))
    _fill(naming.parameter("gpu", "env", name), name, region, stack)


def _fill(parameter: str, what: str, region: str, stack: str) -> None:
    value = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else sys.stdin.read()
    if not value.strip():
        raise TerraceError(Fault(what, "got an empty value", "Give it on standard input"))
    port = AwsAccount(region)
    if port.parameter_version(parameter) is None:
        raise TerraceError(Fault(parameter, "is not there", f"Make it first: pulumi up -s {stack}"))
    port.put_secret(parameter, value.strip())
    err.print(f"{parameter} is set", markup=False)


def _reader(stack: str) -> Reader:
    naming, region, found = _given(stack)
    _, jobs = _clients(naming, found, region)
    return Reader(jobs, load(), found.policy.cold_start_seconds, found.policy.zone)


def _again(stack: str, job: str) -> str:
    return f"scripts/gpu.py job {job} -s {stack}"


def _ask(
    ask: Callable[[Callable[[str], None]], Pending | Answered],
    job: str,
    what: str,
    stack: str,
    output: Output,
    *,
    waits: bool,
) -> None:
    """Prints what comes of it, or how to ask again; `ask` tells a job's id before it waits."""
    at_work = [job]
    with step("receipt", "a worker reads it; a cold start takes minutes" if waits else "asking"):
        try:
            found = ask(at_work.append)
        except KeyboardInterrupt:
            _goes_on(stack, at_work[-1])
        except RunPodError as error:
            if not at_work[-1]:
                raise
            # It may be at work and paid for: whoever is told only of the failure would send it a second time.
            goes_on = f"Job {at_work[-1]} goes on without us; ask again: {_again(stack, at_work[-1])}"
            faults = (replace(each, remedy=f"{each.remedy}. {goes_on}") for each in error.faults)
            raise TerraceError(*faults) from None
    if isinstance(found, Answered):
        _print(found, what, stack, output)
        return
    if waits:
        _goes_on(stack, found.job_id)
    data = {"job": found.job_id, "status": found.said}
    show(data, table(("", ""), list(data.items()), right=()), output)
    err.print(f"Ask again: {_again(stack, found.job_id)}", markup=False, soft_wrap=True)


def _print(answered: Answered, what: str, stack: str, output: Output) -> None:
    """The receipt, or why there is none; the record is written either way."""
    if answered.job.error == FORGOTTEN:
        raise TerraceError(Fault(answered.job.id, FORGOTTEN, "Send the picture again"))
    Records(RECORDS / f"{stack}.records.jsonl").add(answered.record)
    if answered.is_double:
        err.print("The answer is the double's: no model has looked at this picture", markup=False)
    receipt, verdict = answered.reading.receipt, answered.reading.verdict
    if receipt is None:
        if answered.is_double and verdict is Verdict.NOT_JSON:
            err.print(f"It says: {answered.text}", markup=False, soft_wrap=True)
        raise TerraceError(Fault(what, f"was not read ({verdict}): {answered.reading.why}", "Look at it"))
    head = (f"{receipt.merchant}, {receipt.date}", "quantity", "amount")
    data = {**receipt.as_data(), "double": answered.is_double}
    show(data, table(head, receipt.rows(), right=(1, 2)), output)


def _goes_on(stack: str, job: str) -> NoReturn:
    """Ends with how to get the answer of a job that goes on without us."""
    said = f"Job {job} is being analysed and goes on without us. Ask again: {_again(stack, job)}"
    if not job:
        said = "\nInterrupted while it was sent: it may be at work. The same command sends it a second time."
    err.print(said, markup=False, soft_wrap=True)
    raise typer.Exit(Exit.INTERRUPTED)


def _transport() -> HttpxTransport:
    """Connections until the command's end."""
    return CONNECTIONS.enter_context(HttpxTransport())


def _api(naming: Naming, region: str) -> RunPod:
    return RunPod(Caller(_transport(), find_key(naming.parameter(*KEY_PARAMETER), region=region)))


def _clients(naming: Naming, found: Given, region: str) -> tuple[RunPod, Jobs]:
    """Both APIs for a person, who would try again by hand what passes by itself."""
    return clients(naming, found, region=region, transport=_transport(), patience=Patience())


def _given(stack: str) -> tuple[Naming, str, Given]:
    naming, region = _stack(stack)
    return naming, region, given(naming, region=region)


def _stack(stack: str) -> tuple[Naming, str]:
    path = stackfile.path_of(ROOT, stack)
    region = stackfile.config(path).get("aws:region")
    if not region:
        raise TerraceError(Fault(f"{path.name}: aws:region", "is missing", "Write it, as ap-northeast-2"))
    return Naming(project_name(ROOT), stack), str(region)


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "\n".join(_plain(each) for each in value) or "none"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {each}" for name, each in value.items()) or "none"
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    app()
