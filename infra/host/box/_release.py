"""What a release is, for the box's programs; in the host bundle the core's module itself stands here."""

from infra.core.release import *  # noqa: F403
