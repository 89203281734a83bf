"""The only place for the road between this machine and a cloud: its public block, its link, its way out.

    this machine  <-- veth, the first addresses of the block -->  the cloud's namespace  <-->  its VPCs

The machine routes the whole block to the cloud, so that Elastic IPs answer from here. Outward, it forwards for the
block and masquerades it, in an nftables table of the cloud's own. Forwarding is switched on for the link and for the
interfaces of the default routes only, and switched off again by the last cloud that leaves, if it was off before.
New connections from elsewhere into the block are dropped: a demo is nobody else's business.

Falls short: a firewall of the machine that drops forwarded packets (Docker's default) keeps boxes from the internet,
because in nftables a drop in one table is final. Boxes boot and serve without the internet.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from embedded.boxes.addresses import LINK_LOCAL, PUBLIC_POOL, PUBLIC_PREFIX, cloud_end, host_end
from embedded.boxes.enclosure import Enclosure
from embedded.boxes.errors import HostError
from embedded.boxes.journal import SHARED
from embedded.boxes.process import command, sysctl

OWN_NETWORK = Path("/proc/self/ns/net")
INSIDE = "up0"


def link_name(token: str) -> str:
    """The machine's end of a cloud's link; an interface name has at most 15 characters."""
    return f"terrace-{token}"


def table_name(token: str) -> str:
    """The machine's nftables table for a cloud."""
    return f"terrace_{token}"


def connect(enclosure: Enclosure, token: str, preferred: IPv4Network | None) -> IPv4Network:
    """Make the road and return the public block: `preferred` if it is free, else another.

    Raises HostError when every block is routed already, or the kernel refuses.
    """
    name = link_name(token)
    with _alone():
        block = _free_block(preferred)
        command(
            ["ip", "link", "add", name, "type", "veth", "peer", "name", INSIDE, "netns", str(enclosure.pid)]
        )
        command(
            ["ip", "-batch", "-"],
            stdin=f"addr add {host_end(block)}/30 dev {name}\n"
            f"link set {name} up\n"
            f"route add {block} via {cloud_end(block)} dev {name}\n",
        )
        sysctl(OWN_NETWORK, {f"ipv4/conf/{name}/forwarding": "1"})
        _forward(token)
    command(["nft", "-f", "-"], stdin=_table(token, block))
    command(
        ["nsenter", f"--net={enclosure.network}", "ip", "-batch", "-"],
        stdin="link set lo up\n"
        f"addr add {cloud_end(block)}/30 dev {INSIDE}\n"
        f"link set {INSIDE} up\n"
        f"route add default via {host_end(block)}\n"
        # An Elastic IP that belongs to nobody answers nothing, instead of going in circles.
        f"route add blackhole {block}\n"
        # A service address that nobody listens on is refused at once.
        f"route add unreachable {LINK_LOCAL}\n",
    )
    sysctl(enclosure.network, {"ipv4/ip_forward": "1"})
    return block


def disconnect(token: str) -> bool:
    """Unmake the road; returns whether anything of it was there. The link goes with the enclosure, or now."""
    table, link = table_name(token), link_name(token)
    found = table in command(["nft", "list", "tables", "ip"]).split()
    if found:
        command(["nft", "delete", "table", "ip", table])
    with _alone():
        if link in _links():
            found = True
            try:
                command(["ip", "link", "delete", link])
            except HostError as error:
                if (
                    "Cannot find device" not in error.what
                ):  # the kernel was still taking it down with the enclosure
                    raise
        _stop_forwarding(token)
    return found


def _table(token: str, block: IPv4Network) -> str:
    link = link_name(token)
    return (
        f"table ip {table_name(token)} {{\n"
        "  chain out {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n"
        f'    ip saddr {block} oifname != "{link}" masquerade\n'
        "  }\n"
        "  chain through {\n"
        "    type filter hook forward priority filter; policy accept;\n"
        f'    oifname "{link}" ct state new drop\n'
        "  }\n"
        "}\n"
    )


def _free_block(preferred: IPv4Network | None) -> IPv4Network:
    taken: list[IPv4Network] = []
    routes: list[dict[str, Any]] = json.loads(command(["ip", "-4", "-json", "route", "show", "table", "all"]))
    for route in routes:
        if route["dst"] != "default":
            taken.append(IPv4Network(route["dst"], strict=False))
    pool = PUBLIC_POOL.subnets(new_prefix=PUBLIC_PREFIX)
    for block in ([preferred] if preferred else []) + list(pool):
        if not any(block.overlaps(other) for other in taken):
            return block
    raise HostError(
        f"no /{PUBLIC_PREFIX} of {PUBLIC_POOL} is free on this machine",
        "Stop a cloud (`ip route` shows whose routes they are).",
    )


def _links() -> set[str]:
    rows: list[dict[str, Any]] = json.loads(command(["ip", "-json", "link", "show"]))
    return {str(row["ifname"]) for row in rows}


def _default_interfaces() -> set[str]:
    rows: list[dict[str, Any]] = json.loads(command(["ip", "-4", "-json", "route", "show", "default"]))
    return {str(row["dev"]) for row in rows if "dev" in row}


@contextmanager
def _alone() -> Generator[None, None, None]:
    SHARED.mkdir(exist_ok=True)
    with (SHARED / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _forward(token: str) -> None:
    state = _forwarding()
    for interface in _default_interfaces():
        switch = _switch(interface)
        if interface not in state["on"] and switch.read_text().strip() == "0":
            state["on"].append(interface)
    state["users"].append(token)
    _remember(state)
    for interface in state["on"]:
        _switch(interface).write_text("1")


def _stop_forwarding(token: str) -> None:
    links = _links()
    state = _forwarding()
    state["users"] = [user for user in state["users"] if user != token and link_name(user) in links]
    if not state["users"]:
        # Where forwarding became the machine's own setting in the meantime, somebody else relies on it now.
        if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "0":
            for interface in state["on"]:
                if _switch(interface).exists():
                    _switch(interface).write_text("0")
        state["on"] = []
    _remember(state)


def _switch(interface: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{interface}/forwarding")


def _forwarding() -> dict[str, list[str]]:
    try:
        state: dict[str, list[str]] = json.loads((SHARED / "forwarding.json").read_text())
    except (FileNotFoundError, ValueError):
        return {"on": [], "users": []}
    return state


def _remember(state: dict[str, list[str]]) -> None:
    path = SHARED / "forwarding.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(state))
    temporary.replace(path)
