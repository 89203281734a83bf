"""The Pulumi program: settings, layout, outputs."""

import pulumi
import pulumi_aws as aws

from infra.core.errors import TerraceError
from infra.core.naming import Naming
from infra.options.layout import build, hurry
from infra.settings import from_engine

hurry()
try:
    settings = from_engine(pulumi.get_stack())
except TerraceError as error:
    raise pulumi.RunError(str(error)) from None
naming = Naming(pulumi.get_project(), pulumi.get_stack())
layout = build(settings, naming, account_id=aws.get_caller_identity().account_id)
for name, value in layout.outputs.items():
    pulumi.export(name, value)
