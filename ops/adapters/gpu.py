"""The GPU's ports on httpx: digests from a container registry, revisions from the Hugging Face hub."""

from __future__ import annotations

import re

import httpx

from infra.core.errors import Fault, TerraceError
from ops.gpu.ports import NotPublishedError

TIMEOUT_SECONDS = 20.0
NOT_SHOWN = (401, 403, 404)
"""What registries answer to whoever asks without a key for an image that is not there, or not public."""

_MANIFESTS = ", ".join(
    f"application/{kind}"
    for kind in (
        "vnd.oci.image.index.v1+json",
        "vnd.docker.distribution.manifest.list.v2+json",
        "vnd.oci.image.manifest.v1+json",
        "vnd.docker.distribution.manifest.v2+json",
    )
)


class PublishedDigests:
    """Digests by the distribution API (OCI distribution-spec, "Pulling manifests"), anonymously."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(transport=transport, timeout=TIMEOUT_SECONDS, follow_redirects=True)

    def image_digest(self, reference: str) -> str:
        """See `Digests`."""
        name, _, tag = reference.rpartition(":")
        host, _, path = name.partition("/")
        if "." not in host and ":" not in host:
            # Docker's own default (distribution/reference, "normalized names").
            host, path = "registry-1.docker.io", name
        url = f"https://{host}/v2/{path}/manifests/{tag}"
        answer = self._ask("HEAD", url, {"Accept": _MANIFESTS})
        if answer.status_code == 401:
            token = self._token(answer.headers.get("www-authenticate", ""), reference)
            answer = self._ask("HEAD", url, {"Accept": _MANIFESTS, "Authorization": f"Bearer {token}"})
        if answer.status_code in NOT_SHOWN:
            raise _not_shown(reference, str(answer.status_code))
        digest = str(answer.headers.get("docker-content-digest", ""))
        if answer.status_code != 200 or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise TerraceError(
                Fault(
                    reference, f"has no digest ({answer.status_code})", "Look at name and tag; is it public?"
                )
            )
        return digest

    def model_revision(self, model: str) -> str:
        """See `Digests`."""
        answer = self._ask("GET", f"https://huggingface.co/api/models/{model}", {})
        sha = str(answer.json().get("sha", "")) if answer.status_code == 200 else ""
        if not re.fullmatch(r"[0-9a-f]{40}", sha):
            raise TerraceError(Fault(model, f"has no revision ({answer.status_code})", "Look at the name"))
        return sha

    def _token(self, challenge: str, reference: str) -> str:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.pop("realm", "")
        if not realm.startswith("https://"):
            raise _not_shown(reference, "refused without a way to ask")
        answer = self._ask("GET", str(httpx.URL(realm, params=fields)), {})
        if answer.status_code != 200:
            raise _not_shown(reference, f"its registry gives no token: {answer.status_code}")
        return str(answer.json().get("token") or answer.json().get("access_token") or "")

    def _ask(self, method: str, url: str, headers: dict[str, str]) -> httpx.Response:
        try:
            return self._client.request(method, url, headers=headers)
        except httpx.HTTPError as error:
            raise TerraceError(
                Fault(
                    url.split("?")[0],
                    f"cannot be asked: {error or type(error).__name__}",
                    "Look at the network",
                )
            ) from None


def _not_shown(reference: str, why: str) -> NotPublishedError:
    return NotPublishedError(
        Fault(
            reference,
            f"is not shown by its registry ({why})",
            "Look at name and tag; is it pushed, and public?",
        )
    )
