"""The only place for what every component shares: the stack's context, tags, and how data is held on to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.core.naming import Naming
from infra.core.shape import Part
from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """What the components of one stack know.

    `account_id` is the twelve digits that the credentials belong to; `hold` is None where protection is off.
    """

    settings: Settings
    naming: Naming
    account_id: str
    hold: pulumi.ResourceHook | None = None

    def tags(self, name: str, **more: str) -> dict[str, str]:
        """The mandatory tags with the physical name `name`, and more of a component's own."""
        return {
            **self.settings.tag_values(self.naming.project),
            "Name": self.naming.physical(name),
            **more,
        }

    @property
    def records_account(self) -> bool:
        """Whether this stack holds the account's trail."""
        account = self.settings.account
        return account is not None and account.trail

    @property
    def trail_arn(self) -> str:
        """The account's trail, by name, so that bucket and key can let it in before it stands."""
        return f"arn:aws:cloudtrail:{self.settings.region}:{self.account_id}:trail/{self.naming.physical('trail')}"

    def protects(self, part: Part | None = None) -> bool:
        """Whether deletion is refused: always, unless protection is off or the part was released by name."""
        return self.settings.deletion_protection and part not in self.settings.released

    def holding_data(
        self, parent: pulumi.Resource, *, part: Part | None = None, ignore_changes: Sequence[str] = ()
    ) -> pulumi.ResourceOptions:
        """Options of a stateful child: protected and guarded by a hook from its first day, retained in prod.

        Both act from the state, so they must be there before they are needed (pulumi/pulumi#13428).
        """
        protected = self.protects(part)
        return pulumi.ResourceOptions(
            parent=parent,
            protect=protected,
            retain_on_delete=self.settings.retains_data,
            ignore_changes=list(ignore_changes),
            hooks=pulumi.ResourceHookBinding(before_delete=[self.hold]) if self.hold and protected else None,
        )


class Component(pulumi.ComponentResource):
    """A component whose children hang under it and under nothing else."""

    def __init__(self, kind: str, name: str, parent: pulumi.Resource | None) -> None:
        super().__init__(f"terrace:{kind}", name, None, pulumi.ResourceOptions(parent=parent))

    @property
    def child(self) -> pulumi.ResourceOptions:
        """The options of an ordinary child."""
        return pulumi.ResourceOptions(parent=self)


def policy(*statements: Mapping[str, Any]) -> pulumi.Output[str]:
    """An IAM policy document of those statements, which may hold outputs."""
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(service: str, **condition: Mapping[str, Any]) -> str:
    """A trust policy for one AWS service."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def hold() -> pulumi.ResourceHook:
    """The hook that refuses to delete what holds data; made once in a program run."""
    return pulumi.ResourceHook("refuse-to-delete-data", _refuse_to_delete)


def _refuse_to_delete(args: pulumi.ResourceHookArgs) -> None:
    raise pulumi.RunError(
        f"{args.name} holds data and is protected ({args.urn}). Nothing was deleted. "
        "To delete it, set terrace:deletionProtection: false, run `pulumi up`, and try again."
    )
