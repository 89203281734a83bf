#!/usr/bin/env python3
"""Climbs from stage to stage: where a stack stands, what is advised, a plan with its price, and the climb itself.

Reading is the default. What changes something needs a plan; a climb can be killed, resumed, taken back at any point.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.core.errors import Fault, TerraceError
from infra.core.prices import load
from infra.core.stages import find
from ops.adapters.climb_site import Site
from ops.adapters.sshsig import SshSigner
from ops.climb import advise as advising
from ops.climb import approval, carried, page, planning, run, shared
from ops.climb import history as past
from ops.climb import plan as plans
from ops.climb.lock import LockedError
from ops.climb.plan import Plan
from ops.climb.planning import BlockedError, Wish
from ops.climb.store import Objects
from ops.talk import Exit, Output, command, confirm, err, fail, show, step

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
As = Annotated[Output, typer.Option("--output", help="how data is printed")]
Wait = Annotated[float, typer.Option("--wait", help="seconds to wait for another climb's lock", min=0)]
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="a plan's id, or how it begins")]
BUDGET = "gate budget"
WORK_DIR = Path(os.environ.get("TERRACE_WORK_DIR") or ROOT)


@app.command()
@command
def status(*, stack: Stack = "dev", output: As = Output.TABLE) -> None:
    """Stage and climb in the file, the stack and the journal; thresholds, error budget, money, last climb, lock."""
    from ops.climb import status as looking

    found = looking.look(_reading(stack), now=_now())
    show(found, page.status(found), output)


@app.command()
@command
def advise(*, stack: Stack = "dev", output: As = Output.TABLE) -> None:
    """Say which rung is right, or to stay, with reasons in numbers and the day each threshold is crossed."""
    site = _site(stack)
    report = site.report()
    if report is None:
        raise TerraceError(
            Fault(f"stack {stack}", "has no alarms that can be read: nothing can be advised", "pulumi up")
        )
    found = advising.advise(advising.seen(report, now=_now(), machines=site.config.get("terrace:machines")))
    show(found.as_json(), page.advice(found), output)


@app.command()
@command
def plan(
    *,
    stack: Stack = "dev",
    to: Annotated[str, typer.Option("--to", help="a stage [what `advise` says]")] = "",
    contract: Annotated[
        bool, typer.Option("--contract", help="take the old side of a climb across options away")
    ] = False,
    override: Annotated[
        list[str] | None, typer.Option("--override", help="GATE=REASON; stays visible for ever")
    ] = None,
    allow_climb_overlap: Annotated[
        bool, typer.Option("--allow-climb-overlap", help="the budget may be exceeded while both sides stand")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="also write a page with a chart to this file")] = None,
    markdown: Annotated[Path | None, typer.Option(help="also write it as Markdown to this file")] = None,
    output: As = Output.TABLE,
) -> None:
    """Plan a climb: evidence, preview, price, steps with what each can undo. Changes nothing that stands.

    Writes plans/<id>.json and, where every gate is open, the same into the bucket that all clones share.

    Ends with 10 where a change is proposed, 4 where a gate is shut, 3 where the budget would be exceeded.
    """
    site = _reading(stack)
    made = _planned(
        site, Wish(stack, to, site.git.email(), _overrides(override or []), allow_climb_overlap, contract)
    )
    path = plans.save(made, site.plans)
    if made.open:
        _share(lambda objects: shared.publish_plan(objects, made), site)
    for file, render in ((html, page.html), (markdown, page.markdown)):
        if file is not None:
            file.write_text(render(made), encoding="utf-8")
            err.print(f"  page        {file}", markup=False)
    show(
        {"file": str(path), "id": made.id, "sha256": made.sha256, **page.data(made)}, page.plan(made), output
    )
    _next(site, made)
    shut = [each.gate for each in made.answers if not each.open]
    if [gate for gate in shut if gate != "budget"]:
        raise typer.Exit(Exit.BLOCKED)
    raise typer.Exit(Exit.OVER_BUDGET if shut else Exit.CHANGE)


@app.command()
@command
def approve(
    plan_id: PlanId,
    *,
    stack: Stack = "dev",
    by: Annotated[str, typer.Option("--as", help="your name in allowed_signers [git's user.email]")] = "",
    key: Annotated[Path, typer.Option(help="your SSH key")] = Path("~/.ssh/id_ed25519"),
    yes: Yes = False,
) -> None:
    """Sign a plan's hash with your SSH key. Refused for the one who asked, and when anything has moved."""
    site = _site(stack)
    made = _plan(site, plan_id)
    if faults := made.bound.moved(site.bound()):
        fail(TerraceError(*faults, summary="The plan is out of date; nothing was signed."), Exit.BLOCKED)
    gates, _, signers = site.agreed()
    show(page.data(made), page.plan(made), Output.TABLE)
    confirm(f"Sign plan {made.id} ({made.before} → {made.after})?", yes=yes)
    name = by or site.git.email()
    try:
        signed = approval.sign(made, gates, signers, SshSigner(), by=name, key=key.expanduser(), now=_now())
    except TerraceError as error:
        fail(error, Exit.BLOCKED)
    path = approval.save(signed, site.plans)
    _share(
        lambda objects: (shared.publish_plan(objects, made), shared.publish_approval(objects, stack, signed)),
        site,
    )
    err.print(f"  approved    by {name} until {signed.expires_at}: {path.name}", markup=False)


@app.command()
@command
def apply(plan_id: PlanId, *, stack: Stack = "dev", wait: Wait = 0, yes: Yes = False) -> None:
    """Carry a plan out, step by step. Needs a clean tree at the plan's commit; goes on where it was interrupted."""
    site = _site(stack)
    made = _plan(site, plan_id)
    journal = site.journal()
    under_way = past.open_climb(journal)
    if under_way is not None and under_way.climb != made.id:
        fail(_other_climb(under_way.climb, stack), Exit.BLOCKED)
    if under_way is None:
        _fit(site, made)
    show(page.data(made), page.plan(made), Output.TABLE)
    confirm(f"Climb from {made.before} to {made.after}?", yes=yes)
    _climb(site, made, wait, back=False)


@app.command()
@command
def resume(*, stack: Stack = "dev", wait: Wait = 0, yes: Yes = False) -> None:
    """Go on with a climb that was interrupted or failed, from this clone or another; looks at reality first."""
    site = _ours(_site(stack))
    journal = site.journal()
    under_way = past.open_climb(journal)
    if under_way is None:
        err.print("No climb is under way: nothing to resume.", markup=False)
        return
    made = Plan.parse(under_way.data["plan"])
    back = past.going_back(journal.of(made.id))
    err.print(f"  climb       {page.headline(made)}{', on its way back' if back else ''}", markup=False)
    confirm("Go on?", yes=yes)
    _climb(site, made, wait, back=back)


@app.command()
@command
def rollback(*, stack: Stack = "dev", wait: Wait = 0, yes: Yes = False) -> None:
    """Take a climb back, in reverse; says first what cannot. Without one under way, the last is taken back."""
    site = _ours(_site(stack))
    journal = site.journal()
    begun = past.open_climb(journal) or past.last_climb(journal)
    if begun is None:
        err.print("There is no climb to take back.", markup=False)
        return
    made = Plan.parse(begun.data["plan"])
    for sentence in page.way_back(made):
        err.print(f"              {sentence}", markup=False)
    confirm(f"Go back to {made.before}?", yes=yes)
    _climb(site, made, wait, back=True)


@app.command()
@command
def history(*, stack: Stack = "dev", output: As = Output.TABLE) -> None:
    """Every climb: who, from, to, plan, forecast and measured interruption, requests lost, overrides, its end."""
    rows = past.climbs(_site(stack).journal().records)
    show(rows, page.history(rows), output)


@app.command()
@command
def drill(
    *,
    stack: Stack = "dev",
    to: Annotated[str, typer.Option("--to", help="the stage to climb to")],
    begin: Annotated[
        str, typer.Option("--from", metavar="STAGE", help="the stage to begin at  [the stack file's]")
    ] = "",
    boxes: Annotated[
        bool, typer.Option(help="real machines (root, Linux); needed where rows move between databases")
    ] = False,
    kill: Annotated[
        str, typer.Option("--kill", metavar="STEP", help="SIGKILL behind this step, then resume")
    ] = "",
    output: As = Output.TABLE,
) -> None:
    """Rehearse a climb and its way back in an embedded cloud of its own; no account is asked, nothing is billed."""
    import climb_drill

    found = climb_drill.drill(ROOT, stack, to, boxes=boxes, kill=kill, begin=begin)
    show(found, page.drilled(found), output)


def _planned(site: Site, wish: Wish) -> Plan:
    gates, _, _ = site.agreed()
    settings = site.settings()
    with step("plan", "previewing on a copy") as line:
        try:
            with ThreadPoolExecutor() as beside:
                # The engine reads the state in a process of its own; AWS is asked meanwhile.
                measured, seen = beside.submit(_measured_away, site), beside.submit(site.report)
                beside.submit(site.account)  # planning.make asks for it first, and finds it answered
                (resized, moved), report = measured.result(), seen.result()
            to = wish.to
            if not to and report is not None and not wish.contract:
                to = advising.advise(advising.seen(report, now=_now())).to
            after = settings
            if to and not wish.contract:
                after = site.settings(run.Words(find(to, path="--to").name))
            made = planning.make(
                site,
                gates,
                Wish(
                    wish.stack, wish.to, wish.by, wish.overrides, wish.overlap, wish.contract, resized, moved
                ),
                facts=settings.facts,
                facts_after=after.facts,
                book=load(settings.price_book),
                budget_usd=settings.budget.aws_usd if settings.budget else None,
                now=_now(),
            )
        except BlockedError as error:
            fail(error, Exit.BLOCKED)
        line.says(f"{page.headline(made)}; {len(made.changes)} changes")
    return made


def _measured_away(site: Site) -> tuple[float | None, float | None]:
    """What earlier resizes and moves of this stack took; None where none was measured."""
    records = site.journal().records
    return past.usual_away(records, moves_rows=False), past.usual_away(records, moves_rows=True)


def _fit(site: Site, made: Plan) -> None:
    """Everything that must hold before a climb begins; ends the program where it does not."""
    faults = [*made.bound.moved(site.bound())]
    if changed := site.git.changed():
        faults.append(
            Fault(
                "this clone",
                f"has changes: {', '.join(changed[:5])}",
                "Commit them and plan again, or stash them",
            )
        )
    gates, _, signers = site.agreed()
    for each in shared.fetch_approvals(site.objects(), site.stack, made):
        approval.save(each, site.plans)
    given = approval.load(site.plans, made)
    unfit = list(carried.unfit(made, gates, given, signers, SshSigner(), _now()))
    over = [each for each in unfit if each.path == BUDGET]
    faults += [each for each in unfit if each.path != BUDGET]
    try:
        planning.refuse_foreign_account(site)
    except BlockedError as error:
        faults += error.faults
    if faults:
        fail(TerraceError(*faults, summary="The climb has not begun."), Exit.BLOCKED)
    if over:
        fail(TerraceError(*over, summary="Over the budget; the climb has not begun."), Exit.OVER_BUDGET)


def _climb(site: Site, made: Plan, wait: float, *, back: bool) -> None:
    site.answers_before = bool(made.evidence.get("answers"))
    lock = site.lock()
    reason = f"climb {made.id}: {made.before} → {made.after}"
    with _telling(), lock.held(reason=reason, climb=made.id, wait_seconds=wait):
        journal = site.journal()  # again: the one who held the lock before may have written on
        line = page.Lines(err)
        climb = run.Climb(made, journal, lock, site, says=_say, moment=line.moment)
        (climb.go_back if back else climb.go_on)()
    rows = _rows(journal, made)
    err.print(f"  {page.ended(rows)}", markup=False)
    err.print(f"  next        {page.after_climb(made, back=back)}", markup=False)


@contextmanager
def _telling() -> Generator[None]:
    """Somebody else's lock blocks; it is no failure of the climb."""
    try:
        yield
    except LockedError as error:
        fail(error, Exit.BLOCKED)


def _rows(journal: Any, made: Plan) -> dict[str, Any]:
    return past.climbs(journal.of(made.id))[-1]


def _next(site: Site, made: Plan) -> None:
    if not made.open:
        return
    gates, _, _ = site.agreed()
    count = approval.needed(made, gates)
    what = (
        f"approve {made.id} -s {site.stack}   ({count} needed)"
        if count
        else f"apply {made.id} -s {site.stack}"
    )
    err.print(f"  next        scripts/scale_up.py {what}", markup=False)


def _plan(site: Site, plan_id: str) -> Plan:
    """The plan of this clone, else what another clone left in the bucket."""
    if not list(site.plans.glob(f"{plan_id}*.json")):
        plans.save(shared.fetch_plan(site.objects(), site.stack, plan_id), site.plans)
    return plans.load(site.plans, plan_id)


def _share(put: Callable[[Objects], object], site: Site) -> None:
    """Puts something where every clone finds it; a bucket out of reach is said, not fatal."""
    try:
        put(site.objects())
    except TerraceError as error:
        err.print(f"  note        it stands in this clone alone: {error.faults[0].what}", markup=False)


def _other_climb(climb: str, stack: str) -> TerraceError:
    return TerraceError(
        Fault(
            f"stack {stack}",
            f"is in the middle of climb {climb}",
            f"End that first: scripts/scale_up.py resume -s {stack}, or rollback -s {stack}",
        )
    )


def _overrides(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        gate, _, reason = each.partition("=")
        if len(reason.split()) < 2:
            raise TerraceError(
                Fault(
                    "--override",
                    f"{each!r} has no reason that somebody understands in a year",
                    "GATE='WHY …'",
                )
            )
        found[gate] = reason
    return found


def _site(stack: str) -> Site:
    site = Site(ROOT, WORK_DIR, stack, _variables(), says=_say)
    if not site.region:
        raise TerraceError(Fault(f"stack {stack}", "has no aws:region", "Write it, as ap-northeast-2"))
    return site


def _reading(stack: str) -> Site:
    """The site of a command that only reads: one look at the state serves all of it, and is what its answer is of."""
    site = _site(stack)
    site.one_look = True
    return site


def _ours(site: Site) -> Site:
    """The site, where its stack is in the account of these credentials; ends the program where it is not."""
    try:
        planning.refuse_foreign_account(site)
    except BlockedError as error:
        fail(error, Exit.BLOCKED)
    return site


def _variables() -> dict[str, str]:
    """The caller's own cloud and backend: what `eval "$(scripts/local.py env)"` or a login put there."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PULUMI_", "AWS_"))}


def _say(text: str) -> None:
    err.print(f"  note        {text}", markup=False)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    app()
