"""The only place where the authority listens: over TLS, at its address on the boxes' link."""

from __future__ import annotations

import threading
from pathlib import Path

from embedded import acme, boxes, endpoint
from embedded.acme.service import Acme
from embedded.aws import view
from embedded.aws.listener import Listener

PORT = 443


class AcmeServer:
    """The authority of one cloud, its key kept in `directory`."""

    def __init__(self, host: boxes.Host, directory: Path) -> None:
        """Listens at once.

        Raises:
            HostError: the port is taken.
        """
        signer = endpoint.signer(directory, "acme.pem", "terrace embedded certificates")
        self.authority = Acme(signer, view.record_address)
        shown = endpoint.context(directory, "acme-endpoint", acme.NAMES)
        listening = host.listen(acme.ADDRESS, PORT)
        self._listener = Listener(listening, self.authority, admin=False, tls=shown)
        threading.Thread(target=self._listener.serve_forever, args=(0.1,), name="acme", daemon=True).start()

    def close(self) -> None:
        """Ends."""
        self._listener.shutdown()
        self._listener.server_close()
