"""A certificate authority as Let's Encrypt speaks to the world (RFC 8555), for the boxes of the embedded cloud."""

from ipaddress import IPv4Address

ADDRESS = IPv4Address("169.254.169.251")
"""Where the boxes find it; their resolver says so for each of `NAMES`."""

PRODUCTION, STAGING = "acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org"
NAMES = (PRODUCTION, STAGING)
