"""The only place for what Option C has beyond the shared layout: two private boxes behind a load balancer."""

from __future__ import annotations

from typing import Any

from infra.components.balancer import PORTS, Balancer
from infra.components.compute import Opening
from infra.core.shape import Placement
from infra.core.stages import Option, Role
from infra.core.storage import BucketRole
from infra.options.layout import Layout, Side
from infra.options.split import BUCKETS


class Private(Side, option=Option.PRIVATE):
    """No machine has a public address; the load balancer alone is reached."""

    def __init__(self, layout: Layout) -> None:
        balancer = Balancer(
            layout.context,
            vpc_id=layout.network.vpc_id,
            subnet_ids=list(layout.network.public_subnet_ids.values()),
            log_bucket=layout.buckets.names[BucketRole.LOGS],
            protected=layout.context.settings.deletion_protection and layout.shape.serving is self.option,
            parent=layout,
        )
        layout.watched["balancer"] = {"LoadBalancer": balancer.arn_suffix}
        frontend_shape = layout.box_shape(Role.FRONTEND, Placement.PRIVATE)
        backend_shape = layout.box_shape(Role.BACKEND, Placement.PRIVATE)
        self._frontend = layout.box(
            frontend_shape,
            openings=[_from_balancer(balancer, Role.FRONTEND)],
            buckets=BUCKETS[Role.FRONTEND],
        )
        frontend = Opening(
            "frontend",
            PORTS[Role.BACKEND],
            None,
            "requests of the frontend",
            self._frontend.security_group_id,
        )
        self._backend = layout.box(
            backend_shape,
            openings=[_from_balancer(balancer, Role.BACKEND), frontend],
            buckets=BUCKETS[Role.BACKEND],
        )
        for role, name, box in (
            (Role.FRONTEND, frontend_shape.name, self._frontend),
            (Role.BACKEND, backend_shape.name, self._backend),
        ):
            balancer.reaches(role, box.security_group_id)
            balancer.send_to(role, name, box.instance_id)
        self.entry = balancer.entry
        self.backends = {backend_shape.name: self._backend}

    @property
    def outputs(self) -> dict[str, Any]:
        """Both boxes and the balancer's own name, for a CNAME where DNS is elsewhere."""
        return {
            "private_frontend_id": self._frontend.instance_id,
            "private_backend_id": self._backend.instance_id,
            "balancer": self.entry.balancer_name,
        }


def _from_balancer(balancer: Balancer, role: Role) -> Opening:
    return Opening("balancer", PORTS[role], None, "requests and health checks", balancer.security_group_id)
