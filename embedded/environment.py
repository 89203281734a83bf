"""The only place for where the embedded cloud is, and what a program needs in its environment to live in it.

Light on purpose: command lines import it before they know whether there is work to do.
"""

from __future__ import annotations

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
