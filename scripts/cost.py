#!/usr/bin/env python3
"""What things cost: stages, the ladder, options, GPUs, machines, changes. USD a month before tax; nothing is changed.

Each answer names its price book, the book's age, and what rests on use. Books: document, us-east-1, seoul-2026-10.
"""

import _venv  # isort: skip  # first: the rest needs the project's environment

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
import yaml

from infra.core.cost import DEFAULT, Resource, StackCost, Usage, price_stack, read_usage, stage_resources
from infra.core.cost.gpu import Assumptions
from infra.core.errors import Fault, TerraceError
from infra.core.prices import DEFAULT_BOOK, PriceBook, load
from infra.core.prices.age import age_faults
from ops import cost
from ops.adapters.price_list import PriceFiles, PriceList
from ops.cost.stack import priced_stage
from ops.report import Source, read_source, unplaced
from ops.talk import Exit, Output, command, confirm, err, fail, out, show, step, table

ROOT = _venv.ROOT
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Book = Annotated[str, typer.Option("--book", help="the price book")]
As = Annotated[Output, typer.Option(help="how data is printed")]
UsageFile = Annotated[
    Path | None, typer.Option("--usage", help="a YAML file of measured use, in place of assumptions")
]


@app.command()
@command
def stage(
    name: str, *, book: Book = DEFAULT_BOOK, usage: UsageFile = None, output: As = Output.TABLE
) -> None:
    """Show a stage's lines: fixed ones with their price, and what use decides as a range."""
    _print(cost.stage(name, _book(book), _usage(usage), _today()), output)


@app.command()
@command
def ladder(*, book: Book = DEFAULT_BOOK, output: As = Output.TABLE) -> None:
    """Show every rung's price, and what so many users cost."""
    _print(cost.ladder(_book(book), _today()), output)


@app.command()
@command
def options(*, book: Book = DEFAULT_BOOK, output: As = Output.TABLE) -> None:
    """Compare A, B and C with platforms, and say where the founding document differs."""
    _print(cost.options(_book(book), _today()), output)


@app.command()
@command
def gpu(
    *,
    book: Book = DEFAULT_BOOK,
    busy_seconds: Annotated[str, typer.Option(help="GPU seconds a receipt")] = "2.4",
    cold_start_seconds: Annotated[str, typer.Option(help="from nothing to a worker that answers")] = "150",
    output: As = Output.TABLE,
) -> None:
    """Compare ways of having a GPU over requests a day, with their break-even points."""
    assumed = Assumptions(
        busy_seconds=_above_zero("--busy-seconds", busy_seconds),
        cold_start_seconds=_above_zero("--cold-start-seconds", cold_start_seconds),
    )
    _print(cost.gpu(_book(book), assumed, _today()), output)


@app.command()
@command
def instance(*, book: Book = DEFAULT_BOOK, output: As = Output.TABLE) -> None:
    """Say from which CPU on a fixed instance type pays, and what fits which memory."""
    _print(cost.instance(_book(book), _today()), output)


@app.command()
@command
def capacity(
    *,
    users: Annotated[int, typer.Option(min=1, help="monthly users")] = 500,
    book: Book = DEFAULT_BOOK,
    output: As = Output.TABLE,
) -> None:
    """Show users, requests by scenario, and how much room each stage has for them at which price."""
    _print(cost.capacity(users, _book(book), _today()), output)


@app.command()
@command
def stack(
    file: Annotated[
        Path, typer.Argument(help="a state, a preview (what it leads to) or a recording, as JSON")
    ],
    *,
    book: Book = DEFAULT_BOOK,
    usage: UsageFile = None,
    output: As = Output.TABLE,
) -> None:
    """Show what a stack costs: one that stands (`pulumi stack export`), or one that is planned."""
    priced = _price(_source(file).after, _book(book), _usage(usage))
    _print(cost.stack(file.name, priced, _today()), output)


@app.command()
@command
def diff(
    before: Annotated[str, typer.Argument(help="a stage, or a file: state, preview, recording")],
    after: Annotated[str, typer.Argument(help="the same; without one, BEFORE is a preview")] = "",
    *,
    book: Book = DEFAULT_BOOK,
    usage: UsageFile = None,
    output: As = Output.TABLE,
) -> None:
    """Show what changes between two stages, or between what stands and a preview, line by line."""
    if after:
        sides = _resources(before), _resources(after)
        if len({_is_file(before), _is_file(after)}) == 2:
            sides = unplaced(sides[0]), unplaced(sides[1])
        title = f"{before} → {after}"
    else:
        source = _source(Path(before))
        if not source.changes:
            raise TerraceError(
                Fault(before, "holds no change by itself", "Give a preview, or a second file or stage")
            )
        sides, title = (source.before, source.after), before
    found, measured = _book(book), _usage(usage)
    one, other = (_price(each, found, measured) for each in sides)
    _print(cost.diff(one, other, title, _today()), output)


@app.command()
@command
def calibrate(
    name: Annotated[str, typer.Argument(help="a stage, or a file: state, preview, recording")],
    bill: Annotated[Path, typer.Argument(help="a month's bill: YAML of service: amount in quotes")],
    *,
    book: Book = DEFAULT_BOOK,
    usage: UsageFile = None,
    output: As = Output.TABLE,
) -> None:
    """Hold an estimate against a real bill, service by service."""
    estimate = _price(_resources(name), _book(book), _usage(usage))
    _print(cost.calibrate(estimate, _bill(bill), _today()), output)


books = typer.Typer(
    help="Say what a price book does not know, or make it new.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(books, name="book")


@books.callback()
@command
def book_(context: typer.Context, *, book: Book = DEFAULT_BOOK, output: As = Output.TABLE) -> None:
    """Say what a price book does not know: names that were not seen, prices that nobody checked, absent ones."""
    if context.invoked_subcommand is None:
        _print(cost.book(_book(book), _today()), output)


@books.command()
@command
def refresh(
    *,
    book: Annotated[str, typer.Option("--book", help="the book to begin with")] = DEFAULT_BOOK,
    name: Annotated[
        str, typer.Option(help="the new book's name; without one, by the month of the files")
    ] = "",
    from_: Annotated[
        Path | None, typer.Option("--from", help="a folder with SERVICE.csv, in place of the network")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    output: As = Output.TABLE,
) -> None:
    """Make a book new from AWS's public price list files, say what moved, and write it beside the old one."""
    files = PriceList() if from_ is None else PriceFiles(from_)
    with step("price list", "the file of EC2 has hundreds of MB") as line:
        made = cost.refresh(book, files, name=name, on_service=line.says)
        line.says(f"{made.found} prices, {len(made.moved)} moved, {len(made.left)} left")
    _print(cost.refreshed(made), output)
    if made.stands:
        err.print(f"{made.path.name} stands as it is", markup=False)
        return
    confirm(f"Write infra/core/prices/{made.path.name}?", yes=yes)
    made.write()
    err.print(f"  next        read it, then set terrace:priceBook: {made.name}", markup=False)


def _print(answer: cost.Answer, output: Output) -> None:
    if output is Output.JSON:
        show(answer.data, "", output)
        return
    for index, each in enumerate(answer.tables):
        if index:
            out.print()
        out.print(each.title, style="bold", markup=False)
        out.print(table(each.columns, each.rows, right=each.right))
        for note in each.notes:
            out.print(f"  {note}", markup=False, soft_wrap=False)


def _book(name: str) -> PriceBook:
    found = load(name)
    if faults := age_faults(found, _today()):
        fail(TerraceError(*faults), Exit.BLOCKED)
    return found


def _resources(name: str) -> list[Resource]:
    """A stage's resources, or those of a file."""
    return _source(Path(name)).after if _is_file(name) else stage_resources(priced_stage(name))


def _is_file(name: str) -> bool:
    return bool(Path(name).suffix) or Path(name).is_file()


def _price(resources: list[Resource], book: PriceBook, usage: Usage) -> StackCost:
    """Their price; what has none blocks, and is named where the book is one to compare by."""
    try:
        return price_stack(resources, book, usage, known_only=True)
    except TerraceError as error:
        fail(error, Exit.BLOCKED)


def _source(path: Path) -> Source:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TerraceError(
            Fault(str(path), f"cannot be read: {error}", "Look at its name and form")
        ) from error
    return read_source(text, where=path.name)


def _today() -> date:
    return datetime.now(UTC).date()


def _usage(path: Path | None) -> Usage:
    return DEFAULT if path is None else read_usage(_yaml(path), where=path.name)


def _bill(path: Path) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    faults = []
    for service, amount in _yaml(path).items():
        try:
            found[str(service)] = Decimal(amount if isinstance(amount, str) else "NaN")
        except InvalidOperation:
            found[str(service)] = Decimal("NaN")
        if not found[str(service)].is_finite():
            faults.append(
                Fault(f"{path.name}: {service}", f"{str(amount)[:40]!r} is no amount in quotes", 'As "12.34"')
            )
    if faults:
        raise TerraceError(*faults)
    return found


def _yaml(path: Path) -> dict[str, object]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise TerraceError(
            Fault(str(path), f"cannot be read: {error}", "Look at its name and form")
        ) from error
    if not isinstance(read, dict):
        raise TerraceError(Fault(str(path), "holds no map", "See scripts/cost.py --help"))
    return read


def _above_zero(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise TerraceError(Fault(name, f"{text!r} is no number above 0", "As 2.4"))
    return value


if __name__ == "__main__":
    app()
