"""What concerns every service: moto's habits that cost time or memory in a process that lives long."""

from __future__ import annotations

import copy
import functools
from typing import Any

from moto.core import errors, responses
from moto.core.common_models import BaseModel
from moto.core.utils import method_names_from_class
from moto.iam.models import IAMBackend

from embedded.aws.extensions.patching import Patches

patches = Patches()

# moto looks a service's methods up anew for every request: for EC2, 1.5 ms of the 4 that a call takes.
patches.set(responses, "method_names_from_class", functools.cache(method_names_from_class))

# AWS has error codes that its own service models do not name; moto warns about each of them.
patches.set(errors, "warn", lambda *_, **__: None)


def _new(cls: type[BaseModel], *_: Any, **__: Any) -> Any:
    """Make a model object. moto notes every one for its dashboard and never forgets it, deleted or not."""
    return super(BaseModel, cls).__new__(cls)


patches.set(BaseModel, "__new__", staticmethod(_new))


_PRISTINE: dict[str, dict[str, Any]] = {}


@patches.wrap(IAMBackend)
def _init_aws_policies(original: Any, backend: IAMBackend) -> list[Any]:
    """AWS's managed policies: parsed once (0.3 s), and in one of the five partitions that moto has."""
    if backend.region_name != "aws":
        return []
    if backend.account_id not in _PRISTINE:
        _PRISTINE[backend.account_id] = {policy.arn: policy for policy in original(backend)}
    return [copy.copy(policy) for policy in _PRISTINE[backend.account_id].values()]


def pristine_policy(account_id: str, arn: str) -> Any:
    """A managed policy of AWS as nobody has touched it."""
    if account_id not in _PRISTINE:
        IAMBackend("aws", account_id)
    return copy.copy(_PRISTINE[account_id][arn])


def install() -> None:
    """Install into moto."""
    patches.apply()
