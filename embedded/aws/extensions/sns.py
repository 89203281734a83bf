"""SNS: `$or` in filter policies that look at the body, which moto 5.2.5 reads as if it looked at attributes."""

from __future__ import annotations

from typing import Any

from moto.sns.utils import FilterPolicyMatcher

from embedded.aws.extensions.patching import Patches

patches = Patches()


@patches.wrap(FilterPolicyMatcher, "_field_match")
def field_match(original: Any, field: str, rules: Any, body: Any, *attributes_based: bool) -> bool:
    """Any of the policies in `$or`, each of them whole (SNS Developer Guide, "Subscription filter policies")."""
    if field == "$or" and isinstance(rules, list) and attributes_based == (False,):
        policies = [list(each.items()) for each in rules]
        return any(
            all(original(name, rule, body, *attributes_based) for name, rule in policy) for policy in policies
        )
    return bool(original(field, rules, body, *attributes_based))


def install() -> None:
    """Install into moto."""
    patches.apply()
