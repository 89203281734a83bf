"""The only place for the account, the default region, and the settings that moto runs under."""

from __future__ import annotations

ACCOUNT_ID = "123456789012"
"""The account that every request belongs to unless its access key says otherwise (moto's own default)."""

DEFAULT_REGION = "ap-northeast-2"

CERTIFICATE_VALIDATION_SECONDS = 1
"""How long a DNS-validated certificate stays PENDING_VALIDATION; moto's own default is 60."""


def prepare() -> None:
    """Set moto's switches. Idempotent, and right in whichever order moto was imported.

    moto reads some of them from the environment at import time; they are set on its modules here, so that a
    process that imported moto for another reason gets the same cloud.
    """
    from moto import settings
    from moto.core.config import default_user_config

    settings.ACM_VALIDATION_WAIT = CERTIFICATE_VALIDATION_SECONDS
    settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
    settings.ENABLE_AMI_VALIDATION = True
    default_user_config["iam"] = {"load_aws_managed_policies": True}
    default_user_config["lambda"] = {"use_docker": False}
    default_user_config["batch"] = {"use_docker": False}
