"""The only place that knows how the odd things in moto's state are pickled: locks, lambdas, keys, AWS's own data."""

from __future__ import annotations

import importlib
import io
import marshal
import pickle
import threading
import types
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_PRIVATE_KEYS = (RSAPrivateKey, EllipticCurvePrivateKey, Ed25519PrivateKey)
_LOCK_TYPES: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Condition: threading.Condition,
    threading.Event: threading.Event,
}


def dump(value: Any) -> bytes:
    """Pickle a state."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def load_payload(payload: bytes) -> Any:
    """The state that ``dump`` wrote."""
    return pickle.loads(payload)  # noqa: S301 a file of our own, whose digest was checked


class _Pickler(pickle.Pickler):
    """C's pickler with a word on what it cannot do by itself."""

    def reducer_override(self, value: Any) -> Any:
        """How to make a value anew; ``NotImplemented`` leaves it to the pickler."""
        kind = type(value)
        if maker := _LOCK_TYPES.get(kind):
            return maker, ()
        if kind is types.FunctionType and "<" in value.__qualname__:
            cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
            return _function, (marshal.dumps(value.__code__), value.__module__, value.__defaults__, cells)
        if kind is types.ModuleType:
            return importlib.import_module, (value.__name__,)
        if kind is weakref.WeakValueDictionary:
            return weakref.WeakValueDictionary, (dict(value),)
        if isinstance(value, dict) and kind.__module__.startswith("moto."):
            return kind.__new__, (kind,), _insides(value), None, None, _fill
        if isinstance(value, _PRIVATE_KEYS):
            return _private_key, (_pem(value),)
        if isinstance(value, x509.Certificate):
            return _certificate, (value.public_bytes(serialization.Encoding.PEM),)
        if kind.__name__ == "AWSManagedPolicy" and value.attachment_count == 0:
            return _managed_policy, (value.account_id, value.arn)
        return NotImplemented


def _function(code: bytes, module: str, defaults: tuple[Any, ...] | None, cells: tuple[Any, ...]) -> Any:
    """A lambda that moto keeps in its state (the factories of nested dictionaries)."""
    closure = tuple(types.CellType(cell) for cell in cells)
    scope = vars(importlib.import_module(module))
    return types.FunctionType(marshal.loads(code), scope, "<lambda>", defaults, closure)  # noqa: S302 as above


@dataclass(frozen=True, slots=True)
class _Insides:
    """What a dictionary of moto's own class holds, past the methods that it overrides (S3's keys hide versions)."""

    factory: Any
    attributes: dict[str, Any]
    items: list[tuple[Any, Any]]


def _insides(value: dict[Any, Any]) -> _Insides:
    # What AWS publishes is read from moto's files again when someone asks for it.
    items = [(key, item) for key, item in dict.items(value) if not str(key).startswith("/aws/service/")]
    attributes = {key: False if key.endswith("_loaded") else item for key, item in vars(value).items()}
    return _Insides(getattr(value, "default_factory", None), attributes, items)


def _fill(made: Any, insides: _Insides) -> None:
    if isinstance(made, defaultdict):
        made.default_factory = insides.factory
    vars(made).update(insides.attributes)
    for key, item in insides.items:
        dict.__setitem__(made, key, item)


def _pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _private_key(pem: bytes) -> Any:
    return serialization.load_pem_private_key(pem, password=None)


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _managed_policy(account_id: str, arn: str) -> Any:
    """One of AWS's own policies as it came, which is most of IAM's state by size."""
    from embedded.aws.extensions.core import pristine_policy

    return pristine_policy(account_id, arn)
