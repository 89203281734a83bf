"""The only place for what a plan leaves in the bucket, so that another machine finds it: the plan and its approvals.

    climbs/dev/plans/0123456789.json
    climbs/dev/approvals/0123456789.alice@example.com.approval

Neither needs to be believed: a plan is held by its hash, an approval by its signature over that hash.
"""

from __future__ import annotations

from infra.core.errors import Fault, TerraceError
from ops.climb import approval
from ops.climb.approval import Approval
from ops.climb.plan import Plan
from ops.climb.store import Objects


def publish_plan(objects: Objects, plan: Plan) -> None:
    """Puts a plan where every clone finds it; one that is there stays, for its name is its hash's.

    Raises:
        BucketUnreachableError: the bucket does not answer.
    """
    objects.create(f"{_plans(plan.stack)}{plan.id}.json", plan.text().encode())


def fetch_plan(objects: Objects, stack: str, plan_id: str) -> Plan:
    """The plan of that id, or of the only id that begins so.

    Raises:
        TerraceError: there is none, or several; it is another stack's or another id's, or was changed.
        BucketUnreachableError: the bucket does not answer.
    """
    where = _plans(stack)
    found = objects.keys(f"{where}{plan_id}")
    if len(found) != 1 or (stored := objects.get(found[0])) is None:
        what = (
            f"is no plan in {objects.name}" if not found else f"begins {len(found)} plans in {objects.name}"
        )
        raise TerraceError(
            Fault(
                f"plan {plan_id}", what, f"Plan where the bucket answers: scripts/scale_up.py plan -s {stack}"
            )
        )
    made = Plan.parse(stored.content.decode(), where=found[0])
    if (made.stack, f"{where}{made.id}.json") != (stack, found[0]):
        raise TerraceError(
            Fault(found[0], f"holds plan {made.id} of {made.stack}", "Plan again: scripts/scale_up.py plan")
        )
    return made


def publish_approval(objects: Objects, stack: str, given: Approval) -> None:
    """Puts an approval there; a newer one by the same name takes the older one's place.

    Raises:
        BucketUnreachableError: the bucket does not answer.
    """
    key = f"{_approvals(stack)}{approval.file_name(given)}"
    content = approval.text(given).encode()
    if objects.create(key, content) is None and (known := objects.get(key)) is not None:
        objects.replace(key, content, known.etag)


def fetch_approvals(objects: Objects, stack: str, plan: Plan) -> list[Approval]:
    """The approvals of that plan, whether or not they count.

    Raises:
        TerraceError: what lies there is no approval.
        BucketUnreachableError: the bucket does not answer.
    """
    found = []
    for key in objects.keys(f"{_approvals(stack)}{plan.id}."):
        if (stored := objects.get(key)) is not None:
            found.append(approval.parse(stored.content.decode(), where=key))
    return found


def _plans(stack: str) -> str:
    return f"climbs/{stack}/plans/"


def _approvals(stack: str) -> str:
    return f"climbs/{stack}/approvals/"
