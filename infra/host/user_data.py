"""The only place for what a box is told at its first boot: a cloud-config without a secret, at most 16 KB."""

from __future__ import annotations

from html import escape

import yaml

MOST_BYTES = 16 * 1024
"""EC2 takes 16 KB of user data before it is encoded (EC2 User Guide, "Run commands at launch")."""

_FIRST_BOOT = """\
#!/bin/sh
# Runs at every boot and changes nothing the second time. The address of a new box comes after its birth, so the
# mirror is waited for.
set -eu
installed() { dpkg-query -W -f '${Status}' nginx 2>/dev/null | grep -q 'ok installed'; }
install -D -m 0644 /opt/terrace/index.html /var/www/html/index.html
tries=0
until installed || apt-get install -y --no-install-recommends nginx; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || { echo "terrace: no route to a package mirror after 5 minutes" >&2; exit 1; }
    sleep 5
    apt-get update || true
done
systemctl enable --now nginx
"""


def user_data(*, name: str) -> str:
    """The cloud-config of a box: Nginx from the distribution and a page that says what stands here.

    Raises:
        ValueError: the text is larger than EC2 takes.
    """
    page = (
        "<!doctype html><html lang=en><title>terrace</title>"
        f"<h1>{escape(name)}</h1><p>terrace stands.</p></html>\n"
    )
    config = {
        "write_files": [
            {"path": "/opt/terrace/index.html", "content": page},
            {"path": "/opt/terrace/first-boot", "permissions": "0755", "content": _FIRST_BOOT},
        ],
        "runcmd": [["/opt/terrace/first-boot"]],
    }
    text = "#cloud-config\n" + yaml.safe_dump(config, sort_keys=True)
    if (size := len(text.encode())) > MOST_BYTES:
        raise ValueError(f"user data is {size} bytes where EC2 takes {MOST_BYTES}")
    return text
