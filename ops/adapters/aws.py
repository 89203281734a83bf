"""The only place for how boto3 is asked: timeouts, and its errors as sentences with a remedy."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from infra.core.errors import Fault, TerraceError

TIMEOUTS = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})


@contextmanager
def speaking(what: str) -> Generator[None]:
    """Turns what boto3 raises into a sentence with a remedy; parameters, which may be secret, are not in it.

    Raises:
        TerraceError: boto3 raised.
    """
    try:
        yield
    except NoCredentialsError as error:
        raise TerraceError(
            Fault("AWS credentials", "there are none", "Set AWS_PROFILE, or run `aws sso login`")
        ) from error
    except ClientError as error:
        details = error.response.get("Error", {})
        raise TerraceError(
            Fault(
                what,
                f"{details.get('Code')}: {details.get('Message')}",
                "Look at the credentials' permissions",
            )
        ) from error
    except (BotoCoreError, Boto3Error) as error:
        raise TerraceError(Fault(what, str(error), "Look at region and network")) from error
