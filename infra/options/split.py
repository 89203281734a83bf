"""The only place for what Option B has beyond the shared layout: two boxes in public subnets."""

from __future__ import annotations

from typing import Any

from infra.components.balancer import PORTS
from infra.components.compute import Opening, web_openings
from infra.components.edge import Entry
from infra.core.shape import Placement
from infra.core.stages import Option, Role
from infra.core.storage import BucketRole
from infra.options.layout import Layout, Side

BUCKETS = {
    Role.FRONTEND: (BucketRole.ARTIFACTS,),
    Role.BACKEND: (BucketRole.ARTIFACTS, BucketRole.UPLOADS),
}
"""Which buckets a box of two reaches; the database's copies are RDS's own."""


class Split(Side, option=Option.SPLIT):
    """A frontend box that the world reaches, and a backend box that the frontend alone reaches."""

    def __init__(self, layout: Layout) -> None:
        settings = layout.context.settings
        front = layout.box_shape(Role.FRONTEND, Placement.PUBLIC)
        back = layout.box_shape(Role.BACKEND, Placement.PUBLIC)
        self._frontend = layout.box(
            front,
            openings=web_openings(settings.network.ingress_sources),
            buckets=BUCKETS[Role.FRONTEND],
        )
        self._backend = layout.box(
            back,
            openings=[
                Opening(
                    "frontend",
                    PORTS[Role.BACKEND],
                    None,
                    "requests of the frontend",
                    self._frontend.security_group_id,
                )
            ],
            buckets=BUCKETS[Role.BACKEND],
            public_ip=True,
        )
        self.entry = Entry(instance_id=self._frontend.instance_id)
        self.backends = {back.name: self._backend}

    @property
    def outputs(self) -> dict[str, Any]:
        """Both boxes."""
        return {"frontend_id": self._frontend.instance_id, "backend_id": self._backend.instance_id}
