"""The only place for what a resource kind is: the words that the tables in tables/ are written in.

A kind says which API calls make, read, change and remove a thing. Values pass between Pulumi's names and the API's by
shape: a parameter or an answer's member whose name is the property's, letter case aside, needs no word in the table.

    Kind(
        "aws:ec2/internetGateway:InternetGateway",
        create=Call("ec2.create_internet_gateway", {"TagSpecifications": tag_specification("internet-gateway")}),
        id=found("InternetGateway.InternetGatewayId"),
        ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

import jmespath


@dataclass(slots=True)
class Scope:
    """What expressions see: the resource's inputs and id, the API's last answer, and whose cloud it is."""

    inputs: Mapping[str, Any]
    id: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    old_inputs: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""
    account: str = ""

    def names(self) -> dict[str, Any]:
        """The words of `text` templates: inputs, then id, region, account."""
        return {**self.inputs, "id": self.id, "region": self.region, "account": self.account}


@dataclass(frozen=True, slots=True)
class Expression:
    """A value that is known only at the call; `reads` names the inputs that it carries to the API."""

    evaluate: Callable[[Scope], Any]
    reads: tuple[str, ...] = ()

    def __call__(self, scope: Scope) -> Any:
        return self.evaluate(scope)


def given(path: str) -> Expression:
    """The input at that path (`vpcId`, `rule.status`), or None."""
    compiled = jmespath.compile(path)
    return Expression(lambda scope: compiled.search(scope.inputs), (re.split(r"[.\[]", path)[0],))


def before(path: str) -> Expression:
    """The input at that path as it was before the change, or None."""
    compiled = jmespath.compile(path)
    return Expression(lambda scope: compiled.search(scope.old_inputs))


def from_inputs(*names: str) -> Callable[[Callable[[Mapping[str, Any]], Any]], Expression]:
    """Makes a function of the inputs an expression that carries those names."""
    return lambda function: Expression(lambda scope: function(scope.inputs), names)


def found(path: str) -> Expression:
    """What the JMESPath finds in the API's answer."""
    compiled = jmespath.compile(path)
    return Expression(lambda scope: compiled.search(scope.answer))


def text(template: str) -> Expression:
    """A text with `{id}`, `{region}`, `{account}` and the names of inputs in it; None where one is missing."""
    names = tuple(name for _, name, _, _ in Formatter().parse(template) if name)

    def evaluate(scope: Scope) -> str | None:
        words = scope.names()
        return template.format_map(words) if all(words.get(name) is not None for name in names) else None

    return Expression(evaluate, tuple(name for name in names if name not in ("id", "region", "account")))


def known(name: str) -> Expression:
    """An output as it was last read."""
    return Expression(lambda scope: scope.outputs.get(name))


def respelled(value: Any, names: Mapping[str, str] | None = None) -> Any:
    """Members with their first letters turned, or as `names` has them: Pulumi's spelling to the API's, or back."""
    if isinstance(value, Mapping):
        return {
            (names or {}).get(name, name[0].swapcase() + name[1:]): respelled(each, names)
            for name, each in value.items()
            if each is not None
        }
    return [respelled(each, names) for each in value] if isinstance(value, list) else value


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Tags as AWS lists them."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tag_specification(*kinds: str) -> Expression:
    """EC2's own form of tags at creation."""
    return Expression(
        lambda scope: (
            [{"ResourceType": kind, "Tags": tag_list(scope.inputs.get("tags"))} for kind in kinds]
            if scope.inputs.get("tags")
            else None
        ),
        ("tags",),
    )


def _gone_tags(scope: Scope) -> list[str]:
    return [key for key in scope.old_inputs.get("tags") or {} if key not in (scope.inputs.get("tags") or {})]


ID = Expression(lambda scope: scope.id)
TAGS = Expression(lambda scope: tag_list(scope.inputs.get("tags")), ("tags",))
TAG_MAP = Expression(lambda scope: scope.inputs.get("tags"), ("tags",))
GONE_TAGS = Expression(_gone_tags, ("tags",))


@dataclass(frozen=True, slots=True)
class Call:
    """One API call, `service.method` as boto3 names it.

    `params` are expressions or constants by parameter, in lists and maps at any depth; None leaves a parameter out.
    With `auto` every input whose name is a parameter's goes there too. `when` skips the call where it is falsy.
    `missing_is_fine`: a thing that is gone already is what the call wanted.
    """

    action: str
    params: Mapping[str, Any] = field(default_factory=dict)
    auto: bool = False
    when: Expression | None = None
    missing_is_fine: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Polls the kind's read until `until` is truthy; fails after `timeout_seconds`."""

    until: Expression
    what: str
    timeout_seconds: float = 600


@dataclass(frozen=True, slots=True)
class Look:
    """Reads the thing anew: what the next steps' `found` expressions see."""


Step = Call | Wait | Look


@dataclass(frozen=True, slots=True)
class Read:
    """One look at the thing: what `at` (JMESPath) finds in the answer; null or an error of absence means gone.

    `there`: for a link that is read off one of its ends; falsy means that the end stands without it, so it is gone.
    `optional`: absence of this part says nothing about the thing.
    """

    action: str
    params: Mapping[str, Any]
    at: str = "@"
    there: Expression | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """The steps that carry a change of those inputs."""

    on: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource kind.

    `outputs` are what shape alone does not find; `write_only` are inputs that no read tells; `not_carried` inputs are
    accepted and have no effect here, each with the reason. `defaults` are the provider's own.
    """

    token: str
    create: Call
    id: Expression
    read: tuple[Read, ...]
    delete: tuple[Step, ...]
    then: tuple[Step, ...] = ()
    updates: tuple[Update, ...] = ()
    outputs: Mapping[str, Expression] = field(default_factory=dict)
    autoname: str = ""
    write_only: tuple[str, ...] = ()
    not_carried: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    upsert: bool = False
    """The create call also carries every change."""


@dataclass(frozen=True, slots=True)
class Function:
    """One invoke (`aws:index/getCallerIdentity:getCallerIdentity`)."""

    token: str
    read: Read
    outputs: Mapping[str, Expression]
