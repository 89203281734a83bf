"""The signer port on OpenSSH's `ssh-keygen -Y` (ssh-keygen(1), since OpenSSH 8.1)."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from infra.core.errors import Fault, TerraceError
from ops.climb.approval import NAMESPACE


class SshSigner:
    """Signs and verifies by files; a private key never leaves ssh-keygen or the agent."""

    def sign(self, message: bytes, key: Path) -> str:
        """A signature by that private key, or by the agent for that public one."""
        done = self._run(["-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE], message)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise TerraceError(
                Fault(f"key {key}", f"does not sign: {said[-1] if said else 'it said nothing'}", "Give --key")
            )
        return done.stdout.decode()

    def verify(self, message: bytes, signature: str, name: str, signers: str) -> str:
        """Why it is not that name's, or nothing."""
        with tempfile.TemporaryDirectory() as folder:
            allowed, signed = Path(folder) / "allowed_signers", Path(folder) / "signature"
            allowed.write_text(signers, encoding="utf-8")
            signed.write_text(signature, encoding="utf-8")
            done = self._run(
                ["-Y", "verify", "-f", str(allowed), "-I", name, "-n", NAMESPACE, "-s", str(signed)], message
            )
        if done.returncode == 0:
            return ""
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        return said[-1] if said else "the signature does not hold"

    def _run(self, arguments: list[str], message: bytes) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(["ssh-keygen", *arguments], input=message, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise TerraceError(
                Fault("ssh-keygen", "is not installed", "Install OpenSSH's client (openssh-client)")
            ) from error
