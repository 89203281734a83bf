"""The only place where a kind meets an API: create, read, update, delete, and which change replaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from embedded.provider.api import Api, ProviderError
from embedded.provider.schema import Failure, ResourceSchema
from embedded.provider.table import Call, Expression, Kind, Scope, Step
from embedded.provider.wire import UNKNOWN, actions, same, seen_in

ALWAYS_CARRIED = frozenset({"tags", "region"})


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a change of an input does, from replacement.yaml; a path that is in neither list replaces."""

    source: str
    replaces: frozenset[str]
    in_place: frozenset[str]
    delete_before_replace: bool = False

    def of(self, path: str) -> bool:
        """Whether a change at that path replaces: the longest entry that covers it decides."""
        parts = path.split(".")
        for length in range(len(parts), 0, -1):
            prefix = ".".join(parts[:length])
            if prefix in self.replaces:
                return True
            if prefix in self.in_place:
                return False
        return True


def replacements() -> dict[str, Replacement]:
    """The replacement table by token."""
    raw = yaml.safe_load((Path(__file__).parent / "replacement.yaml").read_text(encoding="utf-8"))
    return {
        token: Replacement(
            each["source"],
            frozenset(each.get("replaces") or ()),
            frozenset(each.get("in_place") or ()),
            bool(each.get("delete_before_replace")),
        )
        for token, each in raw.items()
    }


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: its path with indexes, as Pulumi shows it, and whether it replaces."""

    path: str
    kind: str
    replaces: bool


@dataclass(frozen=True)
class Manager:
    """One kind on one API."""

    kind: Kind
    schema: ResourceSchema
    replacement: Replacement
    api: Api
    # Shared by all kinds: what a caller may want to happen before each change (faults).
    before_change: list[Any] = field(default_factory=list)

    @cached_property
    def carried(self) -> frozenset[str]:
        """The inputs that reach the API, at creation and, unless a change replaces, at every change."""
        names: set[str] = set(ALWAYS_CARRIED) | set(self.kind.not_carried)
        steps: list[Step] = [
            self.kind.create,
            *self.kind.then,
            *(step for update in self.kind.updates for step in update.steps),
        ]
        for step in steps:
            if not isinstance(step, Call):
                continue
            names.update(_reads(step.params))
            if step.when is not None:
                names.update(step.when.reads)
            if step.auto and (shape := self.api.operation(step.action).input_shape) is not None:
                members = {member.lower() for member in shape.members}
                names.update(name for name in self.schema.inputs if name.lower() in members)
        changeable = {name for update in self.kind.updates for name in update.on}
        kept = ALWAYS_CARRIED | set(self.kind.not_carried) | changeable
        return frozenset(
            name for name in names if name in kept or self.kind.upsert or self.replacement.of(name)
        )

    def failures(self, inputs: Mapping[str, Any]) -> Iterator[Failure]:
        """Everything that is wrong with the inputs, by pulumi_aws's word and by what this table carries."""
        yield from self.schema.failures(inputs)
        for name, value in inputs.items():
            if value is not None and name in self.schema.inputs and name not in self.carried:
                yield Failure(
                    name,
                    "is an input that the embedded cloud does not carry to the API yet: "
                    "docs/adding-a-resource.md",
                )

    def changes(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
        """Every difference between two sets of inputs."""
        return [
            Change(path, kind, self.replacement.of(_without_indexes(path)))
            for path, kind in _differences("", old, new)
            if not path.startswith("__")
        ]

    def create(self, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
        """Makes the thing; its id, outputs, and why it is only half made (empty: it is whole).

        Raises:
            ProviderError: nothing was made, or nobody knows.
        """
        scope = self._scope({**self.kind.defaults, **inputs})
        scope.answer = self.api.call(self.kind.create, scope)
        scope.id = str(self.kind.id(scope) or "")
        if not scope.id:
            raise ProviderError(f"{self.kind.create.action} answered without an id: {scope.answer}")
        try:
            self.api.carry_out(self.kind.then, scope, self.kind.read)
        except ProviderError as error:
            return scope.id, self._outputs(scope, self.api.look(self.kind.read, scope) or {}), str(error)
        seen = self.api.look(self.kind.read, scope)
        if seen is None:
            return scope.id, dict(inputs), "it was made, but is not there when looked for"
        return scope.id, self._outputs(scope, seen), ""

    def read(self, id_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The outputs as they stand, or None where the thing is gone."""
        scope = self._scope(inputs, id_=id_, outputs=outputs)
        seen = self.api.look(self.kind.read, scope)
        return None if seen is None else self._outputs(scope, seen)

    def inputs_as_seen(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that would have made what stands: what a refresh compares the program with."""
        return {
            name: (
                seen_in(value, outputs.get(name), self.schema.inputs.get(name, {}))
                if name in self.schema.outputs and name not in self.kind.write_only
                else value
            )
            for name, value in inputs.items()
        }

    def update(
        self, id_: str, old: Mapping[str, Any], new: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Carries the difference to the API; the outputs afterwards.

        Raises:
            ProviderError: a call was refused, or the table has no step for a changed input.
        """
        scope = self._scope({**self.kind.defaults, **new}, id_=id_, outputs=outputs)
        scope.old_inputs = old
        changed = {change.path.split(".")[0].split("[")[0] for change in self.changes(old, new)}
        changed -= set(self.kind.not_carried)
        if self.kind.upsert:
            self.api.call(self.kind.create, scope)
            self.api.carry_out(self.kind.then, scope, self.kind.read)
            changed.clear()
        for update in self.kind.updates:
            if changed.intersection(update.on):
                self.api.carry_out(update.steps, scope, self.kind.read)
                changed.difference_update(update.on)
        if changed:
            raise ProviderError(
                f"{self.kind.token}: the embedded cloud has no call for a change of {', '.join(sorted(changed))}: "
                "docs/adding-a-resource.md"
            )
        return self._outputs(scope, self.api.look(self.kind.read, scope) or {})

    def delete(self, id_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Removes the thing; one that is gone already is fine."""
        scope = self._scope(inputs, id_=id_, outputs=outputs)
        if self.api.look(self.kind.read, scope) is None:
            return
        self.api.carry_out(self.kind.delete, scope, self.kind.read)

    def preview(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a preview can know: the inputs, and of an update the outputs that no input decides."""
        return {**(outputs or {}), **inputs}

    def _scope(
        self, inputs: Mapping[str, Any], *, id_: str = "", outputs: Mapping[str, Any] | None = None
    ) -> Scope:
        region = inputs.get("region") or (outputs or {}).get("region") or self.api.region
        return Scope(inputs, id_, outputs=outputs or {}, region=region, account=self.api.account)

    def _outputs(self, scope: Scope, seen: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by the schema's names: from the table, else from what was seen, else as they were given."""
        scope.answer = seen
        by_name = {name.lower(): value for name, value in seen.items()}
        found: dict[str, Any] = {}
        for name, shape in self.schema.outputs.items():
            if (expression := self.kind.outputs.get(name)) is not None:
                found[name] = expression(scope)
            elif name in self.kind.write_only:
                found[name] = scope.inputs.get(name)
            elif name in ("tags", "tagsAll"):
                found[name] = _tag_map(by_name, scope)
            elif name == "region":
                found[name] = scope.region
            elif name.lower() in by_name:
                found[name] = _from_api(by_name[name.lower()], shape)
            else:
                found[name] = scope.inputs.get(name, scope.outputs.get(name))
        return {name: value for name, value in found.items() if value is not None}


def _from_api(value: Any, shape: Mapping[str, Any]) -> Any:
    """An answer's value in Pulumi's names, by the schema's shape."""
    if value is None:
        return None
    if shape["type"] == "object" and isinstance(value, Mapping):
        by_name = {name.lower(): each for name, each in value.items()}
        found = {name: _from_api(by_name.get(name.lower()), each) for name, each in shape["outputs"].items()}
        return {name: each for name, each in found.items() if each is not None}
    if shape["type"] == "array":
        listed = value if isinstance(value, list) else [value]
        return [_from_api(each, shape["items"]) for each in listed]
    if shape["type"] == "map" and isinstance(value, list):
        return _tags(value)
    if shape["type"] == "string" and not isinstance(value, (str, Mapping, list)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _tags(listed: Iterable[Mapping[str, str]]) -> dict[str, str]:
    found = {}
    for each in listed:
        key, value = (next(v for k, v in each.items() if k.lower().endswith(end)) for end in ("key", "value"))
        if not key.startswith("aws:"):
            found[key] = value
    return found


def _tag_map(by_name: Mapping[str, Any], scope: Scope) -> dict[str, str] | None:
    for name in ("tags", "taglist", "tagset", "resourcetaglist"):
        if name in by_name:
            listed = by_name[name] or {}
            return dict(listed) if isinstance(listed, Mapping) else _tags(listed)
    given: dict[str, str] | None = scope.inputs.get("tags")
    return given


def _reads(value: Any) -> Iterator[str]:
    if isinstance(value, Expression):
        yield from value.reads
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _reads(each)
    elif isinstance(value, list):
        for each in value:
            yield from _reads(each)


def _without_indexes(path: str) -> str:
    return "".join(part for part in path.replace("]", "[").split("[") if not part.isdigit())


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    if new == UNKNOWN:
        yield path, "update"
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            here = f"{path}.{name}" if path else name
            if name in actions(old) ^ actions(new):
                yield here, "add" if name in new else "delete"
            yield from _differences(here, old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", *pair)
    elif not same(old, new):
        yield path, "add" if old is None else "delete" if new is None else "update"
