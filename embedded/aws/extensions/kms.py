"""KMS: a key that is disabled or about to be deleted does nothing.

Rules: "Key states of AWS KMS keys", KMS developer guide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend

from embedded.aws.extensions.patching import Patches

patches = Patches()

_USING_A_KEY = (
    "encrypt",
    "generate_data_key",
    "generate_mac",
    "sign",
    "verify",
    "verify_mac",
    "create_grant",
)
_CHANGING_A_KEY = (
    "enable_key",
    "disable_key",
    "enable_key_rotation",
    "disable_key_rotation",
    "create_alias",
    "update_alias",
)


class _InvalidStateError(JsonRESTError):
    code = 400

    def __init__(self, arn: str) -> None:
        super().__init__("KMSInvalidStateException", f"{arn} is pending deletion.")


class _DisabledError(JsonRESTError):
    code = 400

    def __init__(self, arn: str) -> None:
        super().__init__("DisabledException", f"{arn} is disabled.")


def _check(backend: Any, key_id: str, *, must_be_enabled: bool) -> None:
    key = backend.keys.get(backend.get_key_id(backend.any_id_to_key_id(key_id)))
    if key is None:
        return
    if key.key_state == "PendingDeletion":
        raise _InvalidStateError(key.arn)
    if must_be_enabled and (not key.enabled or key.key_state == "Disabled"):
        raise _DisabledError(key.arn)


def _guarded(*, must_be_enabled: bool) -> Callable[..., Any]:
    def call(original: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
        key_id = kwargs.get("key_id") or kwargs.get("target_key_id") or (args[0] if args else None)
        if key_id:
            _check(backend, key_id, must_be_enabled=must_be_enabled)
        return original(backend, *args, **kwargs)

    return call


for _name in _USING_A_KEY:
    patches.wrap(KmsBackend, _name)(_guarded(must_be_enabled=True))
for _name in _CHANGING_A_KEY:
    patches.wrap(KmsBackend, _name)(_guarded(must_be_enabled=False))


@patches.wrap(KmsBackend)
def decrypt(original: Any, backend: Any, *args: Any, **kwargs: Any) -> Any:
    """The key is named by the ciphertext, so it is known only after the fact; nothing is given out before."""
    plaintext, arn = original(backend, *args, **kwargs)
    _check(backend, arn, must_be_enabled=True)
    return plaintext, arn


def install() -> None:
    """Install into moto."""
    patches.apply()
