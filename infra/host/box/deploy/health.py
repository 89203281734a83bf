"""The only place that asks an instance whether it is well."""

from __future__ import annotations

import http.client
import json

from infra.core.release import Part

from . import sockets
from .model import HEALTH, Instance

TIMEOUT_SECONDS = 3.0


class HttpHealth:
    """Asks over loopback, past Nginx."""

    def ailment(self, instance: Instance) -> str:
        """Why it is not healthy; empty when it answers 200, the backend with status UP."""
        path = HEALTH[instance.part]
        connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(4096)
        except (OSError, http.client.HTTPException) as error:
            return f"does not answer at {path}: {error}"
        finally:
            connection.close()
        if answer.status != 200:
            return f"answers {answer.status} at {path}"
        if instance.part is Part.BACKEND and _status(body) != "UP":
            return f"answers 200 at {path}, but not with status UP"
        return ""

    def connections(self, instance: Instance) -> int:
        """How many connections to it are open."""
        return sockets.connections(instance.port)


def _status(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return str(found.get("status", "")) if isinstance(found, dict) else ""
