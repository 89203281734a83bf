"""The process that sends the load: `python -m embedded.load`; SIGTERM ends it in good order."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from embedded.load.requests import Requests
from embedded.load.running import Target
from embedded.load.sockets import Clients
from embedded.load.wire import Log, Way


def main() -> int:
    """Sends until it is told to end, or `--requests` were sent."""
    parser = argparse.ArgumentParser(prog="python -m embedded.load", description=__doc__)
    parser.add_argument("url", help="http:// or https:// with an address or a name")
    parser.add_argument("--log", type=Path, required=True, help="where each request becomes a line")
    parser.add_argument("--host", default="", help="the Host header and the name in the certificate")
    parser.add_argument("--ca", default="", help="who signed the certificate")
    parser.add_argument("--names", default="", help="a file that says where names lead, and for how long")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--sockets", type=int, default=20, help="WebSockets")
    parser.add_argument(
        "--keep-alive", action="store_true", help="keep connections, as clients with a pool do"
    )
    parser.add_argument("--requests", type=int, default=0, help="end after so many; 0: when told")
    given = parser.parse_args()
    with given.log.open("w", encoding="utf-8", buffering=1) as file:
        asyncio.run(_send(given, Way.to(Target(given.url, given.host, given.ca, given.names)), Log(file)))
    return 0


async def _send(given: argparse.Namespace, way: Way, log: Log) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    clients = Clients(way, log, given.sockets)
    asking = asyncio.create_task(clients.run(told))
    await Requests(way, log, given.rate, given.requests, keep=given.keep_alive).run(told)
    told.set()
    await asking


if __name__ == "__main__":
    sys.exit(main())
