"""The one place for the second way to the engine: the official archive, checked against the release's own checksums.

Where they are published (read in pulumi/pulumi): `.github/workflows/sign.yml` writes `pulumi-<version>-checksums.txt`
with `sha256sum` over every archive of a release; the file is an asset of the GitHub release and is copied to
get.pulumi.com/releases/sdk/ (issues #10707, #10807). GitHub's copy is asked first, since it is another host than the
archive's: the two have disagreed before (#9416). Without a checksum the archive is not used.
"""

import gzip
import hashlib
import http.client
import re
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.setup.errors import SetupError, WayClosed
from tools.setup.talk import Step

ATTEMPTS = 3
TIMEOUT_SECONDS = 20.0  # for a connection, and between two pieces
CHUNK_BYTES = 1 << 18
CHECKSUMS_LIMIT_BYTES = 1 << 20
OTHER_WAY = "connect to the network or name a proxy in HTTPS_PROXY; or build it instead: TERRACE_ENGINE=build"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a release is; `{version}` and `{archive}` are filled in."""

    archive: str = "https://get.pulumi.com/releases/sdk/{archive}"
    checksums: tuple[str, ...] = (
        "https://github.com/pulumi/pulumi/releases/download/v{version}/pulumi-{version}-checksums.txt",
        "https://get.pulumi.com/releases/sdk/pulumi-{version}-checksums.txt",
    )


ADDRESSES = Addresses()


def fetch(version: str, platform: str, bin_directory: Path, step: Step) -> None:
    """Fill `bin_directory` from the archive of `version` for `platform` (`linux-x64`).

    Raises WayClosed when the archive or its checksum cannot be had, SetupError when they do not match, and OSError
    (ENOSPC among them) when it cannot be written.
    """
    archive = f"pulumi-v{version}-{platform}.tar.gz"
    published, source = _published_checksum(version, archive, step)
    download = bin_directory.parent / archive
    address = ADDRESSES.archive.format(archive=archive)
    measured = _download(address, download, step)
    if measured != published:
        raise SetupError(
            f"{address} has SHA-256\n{measured}, but {source} publishes\n{published}; it was thrown away",
            "run `make setup` again; if it stays, do not trust that archive and build instead: TERRACE_ENGINE=build",
        )
    step.waits_for(f"unpacks {archive}")
    _unpack(download, bin_directory)
    download.unlink()


def _published_checksum(version: str, archive: str, step: Step) -> tuple[str, str]:
    reasons = []
    for template in ADDRESSES.checksums:
        address = template.format(version=version)
        step.waits_for(f"asks {address}", at_once=True)
        try:
            with _open(address) as answer:
                text = answer.read(CHECKSUMS_LIMIT_BYTES).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            reasons.append(f"{address}: {_reason(error)}")
            continue
        if found := re.search(rf"^([0-9a-f]{{64}})\s+\*?(?:\./)?{re.escape(archive)}$", text, re.MULTILINE):
            return found[1], address
        reasons.append(f"{address}: does not name {archive}")
    raise WayClosed(
        "\n".join(["no published checksum of the Pulumi release can be had, so it is not used", *reasons]),
        OTHER_WAY,
    )


def _download(address: str, target: Path, step: Step) -> str:
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return _download_once(address, target, step)
        except _Unfinished as error:
            reason = str(error)
    raise WayClosed(f"{address} cannot be had ({ATTEMPTS} attempts): {reason}", OTHER_WAY)


class _Unfinished(Exception):  # noqa: N818 - a reason to try again, not an error yet
    """The network let go before the end."""


def _download_once(address: str, target: Path, step: Step) -> str:
    digest = hashlib.sha256()
    got_bytes = 0
    step.waits_for(f"asks {address}", at_once=True)
    try:
        answer = _open(address)
    except (OSError, http.client.HTTPException) as error:
        raise _Unfinished(_reason(error)) from error
    with answer, target.open("wb") as stream:
        whole_bytes = int(answer.headers.get("Content-Length") or 0)
        while chunk := _piece(answer.read):
            stream.write(chunk)
            digest.update(chunk)
            got_bytes += len(chunk)
            of_whole = f" of {whole_bytes / 1e6:.0f}" if whole_bytes else ""
            step.waits_for(f"downloads {target.name}: {got_bytes / 1e6:.0f}{of_whole} MB")
    if whole_bytes and got_bytes != whole_bytes:
        raise _Unfinished(f"the connection ended after {got_bytes} of {whole_bytes} bytes")
    return digest.hexdigest()


def _piece(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _Unfinished(_reason(error)) from error


def _open(address: str) -> "http.client.HTTPResponse":
    request = urllib.request.Request(address, headers={"User-Agent": "terrace-setup"})  # noqa: S310 - https above
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
    return answer


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}"
    return str(getattr(error, "reason", error) or type(error).__name__)


def _unpack(archive: Path, bin_directory: Path) -> None:
    """Take the regular files `pulumi/<name>` that Python programs need; no other name is ever written."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.removeprefix("./").partition("/")
                if (
                    folder != "pulumi"
                    or "/" in name
                    or not (name == "pulumi" or "python" in name)
                    or not member.isreg()
                ):
                    continue
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101 - a regular file
                with (bin_directory / name).open("wb") as stream:
                    while chunk := content.read(CHUNK_BYTES):
                        stream.write(chunk)
                (bin_directory / name).chmod(0o755)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise WayClosed(
            f"{archive.name} has the right checksum but cannot be read: {error}", OTHER_WAY
        ) from error
