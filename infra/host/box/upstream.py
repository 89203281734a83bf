"""terrace-upstream: the only place where a frontend's box learns where its backend's box answers.

The parameter host/backends lists the private addresses of every backend that stands; a frontend's own is the one in
its own subnet. A backend that was replaced has another address: the list is read again every half minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from infra.core.naming import HOST_BACKENDS

from .system import Facts, client, command, facts, own_subnet, role, run, say, write

FILE = Path("/etc/nginx/terrace/peer-backend.conf")
PORT = 8090
"""Where Nginx of a backend's box answers its frontend (infra/components/balancer.py, PORTS)."""

CONNECT_SECONDS = 3
EVERY_SECONDS = 30


def render(address: str) -> str:
    """The upstream; without an address every request is answered with 502 at once."""
    server = f"{address}:{PORT}" if address else f"127.0.0.1:{PORT + 1} down"
    return (
        f"# Written by terrace-upstream.\nproxy_connect_timeout {CONNECT_SECONDS}s;\n"
        f"upstream backend {{ server {server}; }}\n"
    )


def mine(addresses: Sequence[str], subnet: str) -> str:
    """The address that lies in that subnet; empty where none does."""
    network = IPv4Network(subnet)
    return next((each for each in addresses if IPv4Address(each) in network), "")


def write_known() -> bool:
    """Writes the file where there is none yet, so that Nginx can start without the backend; whether it did."""
    return not FILE.exists() and write(FILE, render(""))


def learn(found: Facts) -> bool:
    """Asks where the backend is, and tells Nginx where that is new; whether it was.

    Raises:
        TerraceError: it cannot be asked for; what was known goes on.
    """
    name = f"{found['parameters']}/{HOST_BACKENDS}"
    try:
        value = client("ssm", found).get_parameter(Name=name)["Parameter"]["Value"]
        address = mine(json.loads(value), own_subnet())
    except Exception as error:
        what = f"cannot be read: {type(error).__name__}: {error}"
        raise TerraceError(Fault(name, what, "It is tried again; what was known stays")) from error
    if not address:
        # Between the old backend's end and the new one's address nothing better is known.
        return write_known()
    if not write(FILE, render(address)):
        return False
    say(f"the backend answers at {address}")
    if run(["systemctl", "is-active", "nginx.service"], check=False).strip() == "active":
        run(["nginx", "-t", "-q"])
        run(["systemctl", "reload", "nginx.service"])
    return True


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(prog="terrace-upstream", description=__doc__.split("\n")[0]).parse_args()

    def work() -> int:
        found = facts()
        if role(found) == "frontend":
            learn(found)
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
