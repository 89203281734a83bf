"""The only place for where the RunPod key comes from: the environment, or the stack's SSM parameter, at call time."""

from __future__ import annotations

import os
from typing import Any

from infra.clients.transport import Key
from infra.core.errors import Fault, TerraceError
from infra.core.gpu.modes import KEY_VARIABLE
from infra.core.naming import UNSET

KEY_PARAMETER = ("app", KEY_VARIABLE)
"""The stack's parameter that holds it: among the application's settings, for the backend asks the endpoint too."""


def find_key(parameter: str, *, region: str) -> Key | None:
    """The key, or None where neither the environment nor the parameter holds one. It is kept nowhere.

    Raises:
        TerraceError: the parameter cannot be asked for.
    """
    if given := os.environ.get(KEY_VARIABLE, "").strip():
        return Key(given)
    value = read_parameter(parameter, region=region)
    return None if value is None or value == UNSET else Key(value)


def read_parameter(name: str, *, region: str) -> str | None:
    """A parameter of SSM in clear, or None where there is none.

    Raises:
        TerraceError: AWS refused or could not be reached.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    settings = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
    try:
        client: Any = boto3.client("ssm", region_name=region, config=settings)
        return str(client.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        code = error.response["Error"]["Code"]
        raise TerraceError(Fault(name, f"cannot be read: {code}", "Look at the credentials")) from None
    except BotoCoreError as error:
        raise TerraceError(
            Fault(name, f"cannot be read: {type(error).__name__}", "Look at credentials and network")
        ) from None
