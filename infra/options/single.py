"""The only place for what Option A has beyond the shared layout: one box with the data volume."""

from __future__ import annotations

from typing import Any

from infra.components.compute import web_openings
from infra.components.edge import Entry
from infra.core.shape import Placement
from infra.core.stages import Option, Role
from infra.options.layout import Layout, Side


class Single(Side, option=Option.SINGLE):
    """Everything on one machine."""

    def __init__(self, layout: Layout) -> None:
        settings = layout.context.settings
        self._box = layout.box(
            layout.box_shape(Role.APP, Placement.PUBLIC),
            openings=web_openings(settings.network.ingress_sources),
        )
        if layout.data_volume is not None:
            self._box.attach_volume(layout.data_volume.volume_id)
        self.entry = Entry(instance_id=self._box.instance_id)
        self.backends = {Role.APP.value: self._box}

    @property
    def outputs(self) -> dict[str, Any]:
        """The box."""
        return {"instance_id": self._box.instance_id}
