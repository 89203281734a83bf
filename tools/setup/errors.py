"""The one place for what set-up can fail with, and for what the output of other programs means.

    SetupError      a step cannot be done: the cause with the value and the bound, and the remedy; exit code 1
      WayClosed     one way to the engine cannot be gone on this machine; the next way is tried

An interruption is Python's own KeyboardInterrupt (SIGINT, SIGTERM and SIGHUP); exit code 5.
"""

import errno
import re
from dataclasses import dataclass

EXIT_FAILED = 1
EXIT_INTERRUPTED = 5

# EFBIG is what a process limit on file size gives, EDQUOT a quota: to the person in front of it, a full disk.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SetupError(Exception):
    """A step that cannot be done. `step` is filled in by the step that it happened in."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
        self.step = ""


class WayClosed(SetupError):  # noqa: N818 - often no error: the next way is taken
    """One of the ways to the engine is closed here; says why, and what would open it."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Words in the output of a program, and what they mean for the person who reads it."""

    pattern: re.Pattern[str]
    cause: str
    remedy: str


def _symptom(pattern: str, cause: str, remedy: str) -> Symptom:
    return Symptom(re.compile(pattern, re.IGNORECASE), cause, remedy)


# The first that matches wins; {service} is what the program was talking to.
SYMPTOMS = (
    _symptom(
        r"no space left on device|disk quota exceeded|file too large|os error (28|122|27)\b",
        "no space is left on the disk",
        "free some space (`df -h` shows where), then run `make setup` again",
    ),
    _symptom(
        r"do not match the hashes|hash mismatch|checksum mismatch|SECURITY ERROR",
        "{service} served a file whose checksum is not the locked one",
        "run `make setup` again; if it stays, a proxy or mirror on the way alters files: ask its owner",
    ),
    _symptom(
        r"certificate verify failed|unknownissuer|invalid peer certificate|x509:",
        "the TLS certificate of {service} is not trusted here",
        "behind a proxy that opens TLS, point SSL_CERT_FILE at its certificate authority, then `make setup`",
    ),
    _symptom(
        r"name resolution|name or service not known|no such host|dns error|failed to resolve"
        r"|nodename nor servname|connection refused|network is unreachable|no route to host"
        r"|timed out|i/o timeout|timeout exceeded|proxyerror|connection reset|error sending request",
        "there is no route to {service}",
        "connect to the network, or name a proxy in HTTPS_PROXY, then run `make setup` again",
    ),
    _symptom(
        r"no matching distribution|no solution found|no wheels with a matching|403 forbidden|404 not found",
        "{service} does not offer versions that fit",
        "check the mirror that is set for it, and the versions asked for; then run it again",
    ),
    _symptom(
        r"toolchain not available|requires go >=",
        "this Go is too old, and cannot fetch the toolchain that is needed",
        "install the Go that the line below asks for (go.dev/doc/install), then run `make setup` again",
    ),
    _symptom(
        r"signal: killed",
        "the system ended a compiler or linker, most likely for want of memory (linking takes 1.8 GB)",
        "free memory, then run `make setup` again: what is compiled is kept",
    ),
    _symptom(
        r"permission denied|read-only file system",
        "a folder cannot be written",
        "give yourself write permission on the path in the line below, then run `make setup` again",
    ),
)
UNKNOWN = Symptom(
    re.compile(""), "{program} failed with exit code {code}", "mend what it says, then run `make setup` again"
)
SHOWN_LINES = 6


def explain(program: str, service: str, code: int, output: str) -> SetupError:
    """Make an error of a failed program: the cause that its output points to, with the lines that say so."""
    lines = [line for line in output.splitlines() if line.strip(" ^~")]
    for symptom in SYMPTOMS:
        if found := [number for number, line in enumerate(lines) if symptom.pattern.search(line)]:
            shown = lines[found[-1] :][:SHOWN_LINES]
            break
    else:
        symptom, shown = UNKNOWN, lines[-SHOWN_LINES:]
    cause = symptom.cause.format(program=program, service=service, code=code)
    return SetupError(
        "\n".join([cause, *(f"{program}: {line.strip()[:400]}" for line in shown)]), symptom.remedy
    )


def explain_os(error: OSError, doing: str) -> SetupError:
    """Make an error of a failed system call; `doing` says what for, with the path."""
    if error.errno in NO_SPACE:
        return SetupError(f"no space is left on the disk: {doing} ({error.strerror})", SYMPTOMS[0].remedy)
    where = f": {error.filename}" if error.filename else ""
    return SetupError(
        f"{doing}: {error.strerror or error}{where}",
        "make that path writable for you (`ls -ld` shows its owner), then run `make setup` again",
    )
