"""The only place for how RDS reaches PostgreSQL on the box while it follows: a door that is made, and taken away.

PostgreSQL listens on the loopback address alone, and would have to be restarted to listen elsewhere. So a forwarder
of systemd's takes connections on the box's own address, and TLS is PostgreSQL's behind it. Security groups let nobody
but the database in, and that only while a climb goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from infra.host.box.system import metadata, run, write

CONF = Path("/etc/postgresql/17/main")
SETTINGS = CONF / "conf.d/90-terrace-replication.conf"
HBA = CONF / "pg_hba-replication.conf"
KEY = CONF / "replication.pem"
UNITS = Path("/etc/systemd/system")
NAME = "terrace-replication"
ROLE = "terrace_replication"
PORT = 5432
CERTIFICATE_DAYS = 30

_SOCKET = """\
[Unit]
Description=Replication of the rows to the new database
[Socket]
ListenStream={address}:{port}
[Install]
WantedBy=sockets.target
"""
_SERVICE = f"""\
[Unit]
Description=Replication of the rows to the new database
Requires={NAME}.socket
After=postgresql@17-main.service
[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:{PORT}
DynamicUser=yes
"""


class BoxListener:
    """The door on this box."""

    def open(self, keep_mib: int) -> str:
        """Opens it; the address at which RDS finds it. At most `keep_mib` of log are kept for who lags."""
        address = metadata("local-ipv4")
        if not KEY.exists():
            part = KEY.with_suffix(".part")
            run(
                [
                    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", str(CERTIFICATE_DAYS), "-subj", "/CN=terrace", "-keyout", str(part),
                    "-out", f"{part}.crt",
                ]
            )  # fmt: skip
            text = part.read_text(encoding="ascii") + Path(f"{part}.crt").read_text(encoding="ascii")
            write(KEY, text, mode=0o600, owner="postgres", group="postgres")
            part.unlink()
            Path(f"{part}.crt").unlink()
        tls = f"ssl = on\nssl_cert_file = '{KEY}'\nssl_key_file = '{KEY}'\n"
        settings = f"{tls}max_slot_wal_keep_size = '{keep_mib}MB'\n"
        write(SETTINGS, settings, owner="postgres", group="postgres")
        write(
            HBA,
            f"hostssl app {ROLE} 127.0.0.1/32 scram-sha-256\n",
            mode=0o640,
            owner="postgres",
            group="postgres",
        )
        write(UNITS / f"{NAME}.socket", _SOCKET.format(address=address, port=PORT))
        write(UNITS / f"{NAME}.service", _SERVICE)
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "reload", "postgresql@17-main"])
        run(["systemctl", "enable", "-q", "--now", f"{NAME}.socket"])
        return address

    def close(self) -> None:
        """Takes it away again; nothing there is fine."""
        if (UNITS / f"{NAME}.socket").exists():
            run(["systemctl", "disable", "-q", "--now", f"{NAME}.socket", f"{NAME}.service"], check=False)
        there = [path for path in (SETTINGS, HBA, KEY) if path.exists()]
        for path in (*there, UNITS / f"{NAME}.socket", UNITS / f"{NAME}.service"):
            path.unlink(missing_ok=True)
        if there and shutil.which("systemctl"):
            run(["systemctl", "daemon-reload"])
            run(["systemctl", "reload", "postgresql@17-main"], check=False)
