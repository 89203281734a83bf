"""The only place for where the embedded cloud is, and what a program needs in its environment to live in it.

Light on purpose: command lines import it before they know whether there is work to do.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager

REGION = "ap-northeast-2"
ACCOUNT = "123456789012"
"""moto's account; no real one has it."""


def variables(api_url: str, provider_port: int, runpod_url: str) -> dict[str, str]:
    """The environment of a program that lives in the cloud at those addresses; the credentials are visibly none."""
    return {
        "AWS_ENDPOINT_URL": api_url,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PULUMI_DEBUG_PROVIDERS": f"aws:{provider_port}",
        "RUNPOD_API_URL": runpod_url,
    }


@contextmanager
def speaking(variables: Mapping[str, str]) -> Generator[None]:
    """AWS of this process is the cloud of those variables, and no other, while the block lasts."""
    import boto3

    before = {name: text for name, text in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    os.environ.update({name: text for name, text in variables.items() if name.startswith("AWS_")})
    boto3.setup_default_session()
    try:
        yield
    finally:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(before)
        boto3.setup_default_session()
