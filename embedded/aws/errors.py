"""The only place for the exceptions that this package raises to its caller (never to an API client).

``EmbeddedAwsError``
├── ``FaultError``       a fault that cannot be
├── ``ServerError``      a server that cannot start
└── ``StateFileError``   a state file that cannot be read or written
"""


class EmbeddedAwsError(Exception):
    """Anything that the AWS API of the embedded cloud refuses; the message names value, bound and remedy."""


class FaultError(EmbeddedAwsError):
    """A fault was asked for that this cloud cannot produce."""


class ServerError(EmbeddedAwsError):
    """The server cannot start, or was asked to do what only a started one can."""


class StateFileError(EmbeddedAwsError):
    """A state file is missing, damaged, of another format, or cannot be written."""
