"""The only place for what a box is told at its birth: a cloud-config without a secret, at most 16 KB.

It says which stack the box belongs to and carries fetch.py; everything else is named by parameters, so that a new
bundle, bucket or domain changes no byte here and stops no machine.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from infra.core.memory import BoxRole

MOST_BYTES = 16 * 1024
"""EC2 takes 16 KB of user data before it is encoded (EC2 User Guide, "Run commands at launch")."""

FETCH = Path(__file__).with_name("box") / "fetch.py"
UNIT = "terrace-host.service"

# At every boot: an installer that lost its power goes on, and one that is through does nothing.
_UNIT = """\
[Unit]
Description=Installs this box
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/python3 /opt/terrace/fetch.py boot
Restart=on-failure
RestartSec=10
TimeoutStartSec=1800
[Install]
WantedBy=multi-user.target
"""


def user_data(*, region: str, parameters: str, role: BoxRole, private: bool = False) -> str:
    """The cloud-config of a box; `parameters` is the path of its stack's parameters, such as `/terrace/dev`.

    A `private` box looks for an archive of packages before it asks a mirror.

    Raises:
        ValueError: the text is larger than EC2 takes.
    """
    told = json.dumps(
        {"parameters": parameters, "region": region, "role": role}
        | ({"placement": "private"} if private else {}),
        sort_keys=True,
    )
    config = {
        "write_files": [
            {"path": "/etc/terrace/told.json", "content": told + "\n"},
            {"path": "/opt/terrace/fetch.py", "content": FETCH.read_text(encoding="utf-8")},
            {"path": f"/etc/systemd/system/{UNIT}", "content": _UNIT},
        ],
        "runcmd": [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "--no-block", UNIT]],
        # A power cut between the two above: cloud-init does not run a module a second time for the same instance,
        # bootcmd alone it runs at every boot.
        "bootcmd": [["sh", "-c", f"! [ -e /etc/systemd/system/{UNIT} ] || systemctl enable {UNIT}"]],
    }
    text = "#cloud-config\n" + yaml.safe_dump(config, sort_keys=True)
    if (size := len(text.encode())) > MOST_BYTES:
        raise ValueError(f"user data is {size} bytes where EC2 takes {MOST_BYTES}")
    return text
