"""The only place that reads and writes down which database is the writer, and that knows the application's password.

The record is a parameter of SSM: Pulumi makes it and never changes it, a switch does. Its epoch grows with every
switch; a database that knows a later one is not opened by an older.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from infra.core.errors import Fault, TerraceError
from infra.core.naming import DATABASE_PASSWORD, DATABASE_WRITER, UNSET

BOX, RDS = "box", "rds"
ITERATIONS = 4096
"""PostgreSQL's own number for SCRAM-SHA-256 (PostgreSQL documentation, scram_iterations)."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes; `host` is empty for PostgreSQL on the box itself."""

    epoch: int
    end: str
    host: str = ""
    port: int = 5432


class Record:
    """The parameters of one stack; `key_arn` is the stack's key, without which SSM takes the account's own."""

    def __init__(self, ssm: Any, parameters: str, *, key_arn: str = "") -> None:
        self._ssm, self._key = ssm, key_arn
        self._writer = f"{parameters}/{DATABASE_WRITER}"
        self._password = f"{parameters}/{DATABASE_PASSWORD}"

    def read(self) -> Writer:
        """Who writes; the box, where nobody ever switched.

        Raises:
            TerraceError: it is not what a switch writes.
        """
        value = self._value(self._writer)
        if value in ("", UNSET):
            return Writer(0, BOX)
        try:
            return Writer(**json.loads(value))
        except (ValueError, TypeError) as error:
            raise TerraceError(
                Fault(self._writer, f"is no record of a writer: {value[:80]!r}", "Look at its history in SSM")
            ) from error

    def write(self, writer: Writer) -> None:
        """Writes it down.

        Raises:
            TerraceError: a later epoch stands there.
        """
        if (found := self.read()).epoch > writer.epoch:
            raise TerraceError(
                Fault(self._writer, f"is at epoch {found.epoch}, later than {writer.epoch}", "Run it again")
            )
        self._put(self._writer, json.dumps(asdict(writer)), "String")

    def verifier(self, *, new: bool = False) -> str:
        """What a server is given of the application's password; `new`, or where there is none, it is made up."""
        password = self._value(self._password)
        if new or password in ("", UNSET):
            password = secrets.token_urlsafe(32)
            self._put(self._password, password, "SecureString")
        return scram(password)

    def _value(self, name: str) -> str:
        try:
            with _asking(name):
                return str(self._ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        except self._ssm.exceptions.ParameterNotFound:
            return ""

    def _put(self, name: str, value: str, kind: str) -> None:
        key = {"KeyId": self._key} if self._key and kind == "SecureString" else {}
        with _asking(name):
            self._ssm.put_parameter(Name=name, Value=value, Type=kind, Overwrite=True, **key)


@contextmanager
def _asking(name: str) -> Generator[None]:
    """What AWS refuses, said as a fault."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ParameterNotFound":
            raise
        raise TerraceError(Fault(name, f"cannot be had or set: {error}", "Run it again")) from error


def scram(password: str, salt: bytes | None = None) -> str:
    """The verifier that a server keeps of a password (RFC 5803, RFC 7677)."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(each).decode() for each in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt64}${stored64}:{server64}"
