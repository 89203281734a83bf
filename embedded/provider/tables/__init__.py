"""The resource kinds and functions that the embedded cloud carries, one file for each family of services."""

from embedded.provider.table import Function, Kind
from embedded.provider.tables import (
    account,
    backup,
    balancing,
    compute,
    databases,
    firewall,
    identity,
    lambdas,
    messages,
    names,
    network,
    parameters,
    storage,
    watching,
)
from embedded.provider.tables.functions import FUNCTIONS as _FUNCTIONS

FUNCTIONS: tuple[Function, ...] = _FUNCTIONS
KINDS: tuple[Kind, ...] = (
    *network.KINDS,
    *compute.KINDS,
    *storage.KINDS,
    *identity.KINDS,
    *parameters.KINDS,
    *messages.KINDS,
    *backup.KINDS,
    *names.KINDS,
    *databases.KINDS,
    *balancing.KINDS,
    *firewall.KINDS,
    *watching.KINDS,
    *lambdas.KINDS,
    *account.KINDS,
)
