"""The only place that knows how an extension gets into moto: methods added to its classes, or wrapped."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


class Patches:
    """The changes that one extension makes. Collected while its module is read, made by ``apply``, once."""

    def __init__(self) -> None:
        self._changes: list[Callable[[], None]] = []
        self._applied = False

    def add(self, owner: type | ModuleType) -> Callable[[_F], _F]:
        """Decorator: the function becomes an attribute of ``owner`` under its own name, in place of any before it."""

        def collect(function: _F) -> _F:
            self._changes.append(lambda: setattr(owner, _name(function), function))
            return function

        return collect

    def wrap(self, owner: type | ModuleType, name: str | None = None) -> Callable[[_F], _F]:
        """Decorator: like ``add``, but the function gets what it replaces as its first argument, ``original``.

        ``name`` says what it replaces where the function cannot bear that name itself.
        """

        def collect(function: _F) -> _F:
            self._changes.append(lambda: _wrap(owner, name or _name(function), function))
            return function

        return collect

    def add_property(self, owner: type) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Decorator: the function becomes a read-only property of ``owner``."""

        def collect(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._changes.append(lambda: setattr(owner, _name(function), property(function)))
            return function

        return collect

    def set(self, owner: Any, name: str, value: object) -> None:
        """Set a plain attribute of a class or module."""
        self._changes.append(lambda: setattr(owner, name, value))

    @property
    def is_applied(self) -> bool:
        """Whether the changes have been made."""
        return self._applied

    def apply(self) -> None:
        """Make the changes; a second call does nothing."""
        if self._applied:
            return
        self._applied = True
        for change in self._changes:
            change()


def _name(function: Callable[..., Any]) -> str:
    return str(inspect.unwrap(function).__qualname__).rsplit(".", 1)[-1]


def _wrap(owner: type | ModuleType, name: str, function: Callable[..., Any]) -> None:
    found = inspect.getattr_static(owner, name)
    is_static = isinstance(found, staticmethod)
    original = found.__func__ if is_static else found

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(original, *args, **kwargs)

    setattr(owner, name, staticmethod(wrapped) if is_static else wrapped)
