"""terrace-settings: the only place that turns parameters into what the application is told.

SSM by path becomes /run/terrace/app.env, which lies in memory and is written anew at every boot.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from infra.core.naming import DATABASE_ENDPOINT, DATABASE_PASSWORD, UNSET
from infra.host.box.data import application as rds

from .system import Facts, client, command, directory, facts, parameter, role, run, say, write

RUN = Path("/run/terrace")
APP_ENV = RUN / "app.env"
DUE = RUN / "restart-due"
"""Stands from before the file changes until the services were restarted, so that a kill in between is made good."""
USER = "app"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""systemd logs a line whose name is another with its value (systemd.exec(5), EnvironmentFile=)."""
RETRY_SECONDS, PATIENCE_SECONDS = 3.0, 120.0


def password(found: Facts, *, may_make: bool = False) -> str:
    """The application's database password; made and stored where the parameter still holds the stand-in.

    Raises:
        TerraceError: it is not there, and may not be made.
    """
    name, value = f"{found['parameters']}/{DATABASE_PASSWORD}", parameter(found, DATABASE_PASSWORD)
    if value not in ("", UNSET):
        return value
    if not may_make:
        raise TerraceError(Fault(name, "holds no password", "Run terrace-host install on the box"))
    made = secrets.token_urlsafe(32)
    # Without a key's name SSM would take the account's own key and not the stack's (SSM API reference, PutParameter).
    client("ssm", found).put_parameter(
        Name=name, Value=made, Type="SecureString", KeyId=found["key_arn"], Overwrite=True
    )
    return made


def application(found: Facts) -> dict[str, str]:
    """Every parameter of app/ by its name; one that is empty, not filled in or no variable's name is left out."""
    path = f"{found['parameters']}/app"
    pages = client("ssm", found).get_paginator("get_parameters_by_path")
    values: dict[str, str] = {}
    for page in pages.paginate(Path=path, WithDecryption=True):
        for each in page["Parameters"]:
            name = str(each["Name"]).rpartition("/")[2]
            if not VARIABLE.fullmatch(name):
                say(f"{each['Name']} is left out: a variable's name has letters, digits and _ only")
            elif each["Value"] in ("", UNSET):
                say(f"{each['Name']} is not filled in; the application does not get {name}")
            else:
                values[name] = str(each["Value"])
    return values


def render(values: Mapping[str, str]) -> str:
    """Lines as systemd reads an EnvironmentFile: in double quotes, with what is special escaped."""
    lines = []
    for name, value in sorted(values.items()):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`").replace("$", "\\$")
        lines.append(f'{name}="{quoted}"\n')
    return "".join(lines)


def gather(found: Facts) -> dict[str, str]:
    """What the application is told; its own settings cannot change what the host says."""
    host: dict[str, str] = {
        "AWS_REGION": found["region"],
        "UPLOADS_BUCKET": found["uploads_bucket"],
        "TERRACE_ENVIRONMENT": found["environment"],
    }
    if "AWS_ENDPOINT_URL" in os.environ:
        host["AWS_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    if role(found) == "single":
        secret = password(found)
        host |= {
            "BACKEND_URL": "http://127.0.0.1:8090",
            "DATABASE_URL": f"postgresql://{USER}:{secret}@127.0.0.1:5432/app",
            "SPRING_DATASOURCE_URL": "jdbc:postgresql://127.0.0.1:5432/app",
            "SPRING_DATASOURCE_USERNAME": USER,
            "SPRING_DATASOURCE_PASSWORD": secret,
        }
    elif role(found) == "frontend":
        host["BACKEND_URL"] = "http://127.0.0.1:8090"
    elif role(found) == "backend":
        rds.authorities()
        host |= rds.environment(parameter(found, DATABASE_ENDPOINT), password(found, may_make=True))
    return {**application(found), **host}


def apply(found: Facts) -> bool:
    """Writes the file; whether it changed.

    Raises:
        TerraceError: SSM could not be asked for two minutes.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            values = gather(found)
            break
        except TerraceError:
            raise
        except Exception as error:
            if time.monotonic() > deadline:
                raise TerraceError(
                    Fault("settings", f"cannot be read: {type(error).__name__}", "Is SSM reachable?")
                ) from error
            time.sleep(RETRY_SECONDS)
    return put(values)


def put(values: Mapping[str, str]) -> bool:
    """Writes the file; whether it changed. From before on, services that run are due for a restart."""
    directory(RUN, mode=0o755)
    if not _is(values):
        write(DUE, "")
    return write(APP_ENV, render(values), mode=0o640, group="terrace")


def due() -> bool:
    """Whether services may run with what they were told before."""
    return DUE.exists()


def stands(values: Mapping[str, str]) -> bool:
    """Whether the services were told exactly that."""
    return _is(values) and not due()


def _is(values: Mapping[str, str]) -> bool:
    return APP_ENV.is_file() and APP_ENV.read_text(encoding="utf-8") == render(values)


def restart() -> None:
    """Services that run read their environment anew; a service that does not run stays so."""
    run(["systemctl", "try-restart", "terrace-backend@*", "terrace-frontend@*", "terrace-worker"])
    DUE.unlink(missing_ok=True)


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(prog="terrace-settings", description=__doc__.split("\n")[0]).parse_args()

    def work() -> int:
        say(f"settings: changed {apply(facts())}")
        DUE.unlink(missing_ok=True)  # At a boot: what reads the file starts after this.
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
