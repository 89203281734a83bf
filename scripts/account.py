#!/usr/bin/env python3
"""What is done once for an AWS account, and what only a person can give: image id, values of secrets."""

import _venv  # isort: skip  # first: the rest needs the project's environment

import getpass
import sys
from typing import Annotated

import typer

from infra.core.errors import Fault, TerraceError
from infra.settings import project_name
from ops import account, stackfile
from ops.adapters.aws_account import AwsAccount
from ops.talk import Output, command, confirm, err, shell, show, step, table
from tools.setup.engine import SLOWING, engine_variables, read_engine

ROOT = _venv.ROOT
LOCAL_ONLY = (
    "AWS_ENDPOINT_URL",
    "RUNPOD_API_URL",
    "AWS_EC2_METADATA_DISABLED",
    "PULUMI_DEBUG_PROVIDERS",
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG_PASSPHRASE",
)
"""What `scripts/local.py env` sets and nothing outside of the embedded cloud wants."""
app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Stack = Annotated[str, typer.Option("--stack", "-s", help="the stack whose file is read or written")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


@app.command()
@command
def init(*, stack: Stack = "prod", yes: Yes = False) -> None:
    """Make key, state bucket and cost tags, and write the secrets provider into the stack's file."""
    port, region = _account(stack)
    identity = port.account_id()
    confirm(f"Prepare account {identity} in {region} for stack {stack}?", yes=yes)
    with step("account", "preparing") as line:
        prepared = account.prepare(port, ROOT, stack, project_name(ROOT), region)
        line.says(f"{identity} in {region}")
    for done in prepared.done:
        err.print(f"              {done}", markup=False)
    for then in prepared.next:
        err.print(f"  next        {then}", markup=False)


@app.command()
@command
def ami(*, stack: Stack = "prod") -> None:
    """Write the id of the publisher's newest Debian 13 arm64 image into the stack's file."""
    port, region = _account(stack)
    image, changed = account.pin_image(port, ROOT, stack)
    written = "written" if changed else "stood there already"
    show(
        {"id": image.id, "name": image.name, "created": image.created, "region": region, "changed": changed},
        f"{image.id}  {image.name}  {image.created.date()}  {written}",
        Output.TABLE,
    )


@app.command()
@command
def env() -> None:
    """Print what points a shell at the real AWS with this project's engine: eval...

    Undoes `scripts/local.py env`, keeps your own AWS credentials, and lets the engine fetch the plugin of pulumi-aws.
    """
    sys.stdout.write(
        '[ "${AWS_ACCESS_KEY_ID:-}" = embedded ] && unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY\n'
    )
    shell(
        unset=(*LOCAL_ONLY, *SLOWING),
        export={**engine_variables(ROOT), "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "false"},
        first=(ROOT / ".venv" / "bin", read_engine(ROOT).bin),
    )


@app.command(name="set")
@command
def set_secret(name: str, *, stack: Stack = "prod") -> None:
    """Fill a secret of the application from standard input; it is shown nowhere."""
    port, _ = _account(stack)
    value = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    parameter = account.fill_secret(port, ROOT, stack, project_name(ROOT), name, value)
    err.print(
        f"{parameter} is set. On each box: sudo terrace-settings --restart (docs/runbook.md)", markup=False
    )


@app.command()
@command
def secrets(
    *,
    stack: Stack = "prod",
    output: Annotated[Output, typer.Option(help="how data is printed")] = Output.TABLE,
) -> None:
    """Say which secrets of the application are set; no value is read."""
    port, _ = _account(stack)
    found = account.unfilled(port, ROOT, stack, project_name(ROOT))
    show(found, table(("secret", "state"), list(found.items())), output)


def _account(stack: str) -> tuple[AwsAccount, str]:
    path = stackfile.path_of(ROOT, stack)
    region = stackfile.config(path).get("aws:region")
    if not region:
        raise TerraceError(Fault(f"{path.name}: aws:region", "is missing", "Write it, as ap-northeast-2"))
    return AwsAccount(region), region


if __name__ == "__main__":
    app()
