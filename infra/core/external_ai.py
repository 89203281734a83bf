"""The only place for the names by which the application is told of an external AI API."""

from __future__ import annotations

URL_VARIABLE, MODEL_VARIABLE = "EXTERNAL_AI_URL", "EXTERNAL_AI_MODEL"
REASON_VARIABLE, KEY_VARIABLE = "EXTERNAL_AI_REASON", "EXTERNAL_AI_KEY"
APPLICATION_IS_TOLD = (URL_VARIABLE, MODEL_VARIABLE, REASON_VARIABLE, KEY_VARIABLE)
SHORTEST_REASON = 20
"""Characters of a reason that can be understood a year later."""
