"""The only place for physical names, paths and tags.

Logical names (in URNs) stand with their components and never hold a stage, a number or an option.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FAKE_AMI = "ami-00000000000000000"
"""Visibly no image: only the embedded cloud knows it, AWS answers InvalidAMIID.NotFound."""

UNSET = "unset"
"""What a secret parameter holds until `scripts/account.py set` fills it; programs treat it as missing."""


DATABASE_PASSWORD = "database/password"  # noqa: S105 a name, not what it holds
"""The parameter that the application opens its database with, below the stack's path."""

DATABASE_WRITER = "database/writer"
"""The parameter that says which database takes writes, below the stack's path (docs/adr/0046)."""

DATABASE_ENDPOINT = "database/endpoint"
"""The parameter that says where RDS answers, as HOST:PORT, below the stack's path."""

HOST_BACKENDS = "host/backends"
"""The parameter that lists the private addresses of the backends' boxes, below the stack's path."""

BACKUP_PASSPHRASE = "database/backup-passphrase"  # noqa: S105 a name, not what it holds
"""The parameter that opens the backups, below the stack's path."""


WEBHOOK = "alarms/webhook"
"""The parameter that holds the chat's address, below the stack's path."""

DRILLS = "drill-"
"""How the names of the scratch stacks of restore drills begin."""


class Environment(StrEnum):
    """What a stack is for. `prod` retains its data, protects it, and accepts no stand-in values."""

    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class Team(StrEnum):
    """The values of the tag Team."""

    ENGINEERING = "engineering"
    PRODUCT = "product"
    OPERATIONS = "operations"


class CostCenter(StrEnum):
    """The values of the tag CostCenter. `RnD`: a tag value may not hold an ampersand (Tagging AWS resources)."""

    RND = "RnD"
    OPERATIONS = "Operations"
    SALES = "Sales"


MANDATORY_TAGS = ("Environment", "Team", "Project", "CostCenter", "Owner")


@dataclass(frozen=True, slots=True)
class Naming:
    """Names of one stack's things; `project` and `stack` are Pulumi's own names."""

    project: str
    stack: str

    @property
    def prefix(self) -> str:
        return f"{self.project}-{self.stack}"

    def physical(self, part: str) -> str:
        """A name that is unique in an account and region."""
        return f"{self.prefix}-{part}"

    def bucket(self, role: str, account_id: str) -> str:
        """A bucket's name; buckets are unique over all accounts of the partition, so the account is in it."""
        return f"{self.prefix}-{role}-{account_id}"

    def parameter(self, *path: str) -> str:
        """The name of an SSM parameter of this stack, such as `/terrace/dev/app/LOG_LEVEL`."""
        return "/" + "/".join((self.project, self.stack, *path))

    def log_group(self, *path: str) -> str:
        """The name of a log group of this stack."""
        return self.parameter("logs", *path)

    @property
    def state_key(self) -> str:
        """The alias of the key that opens the secrets in this stack's Pulumi state, and no other stack's."""
        return f"alias/{self.project}-state-{self.stack}"

    def state_bucket(self, account_id: str) -> str:
        """The bucket of the Pulumi state: one for the project, older than any stack."""
        return f"{self.project}-state-{account_id}"


def mandatory_tags(
    *, environment: Environment, team: Team, project: str, cost_center: CostCenter, owner: str
) -> dict[str, str]:
    """The tags that every resource carries and that are activated for cost allocation."""
    return dict(
        zip(MANDATORY_TAGS, (environment.value, team.value, project, cost_center.value, owner), strict=True)
    )
