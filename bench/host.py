"""The only place for what is measured of the host: first boot, a replaced instance, and what Nginx costs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from bench.instances import Instance
from bench.projects import option_a
from bench.served import CACHE, Served, environment
from embedded.cloud import Cloud

Row = tuple[str, str, str, str, str]
"""The fields of a `Figure`: what, measured, against, ratio, target."""

OVERHEAD_ROUNDS = 600
_OVERHEAD = """
import http.client, json, ssl, statistics, time
trusting = ssl.create_default_context(cafile="/etc/terrace/tls/fullchain.pem")
trusting.check_hostname = False
ways = {"nginx": http.client.HTTPSConnection("127.0.0.1", 443, context=trusting),
        "direct": http.client.HTTPConnection("127.0.0.1", PORT)}
taken = {name: [] for name in ways}
for _ in range(ROUNDS + 50):
    for name, way in ways.items():
        due = time.perf_counter() + 0.01
        began = time.perf_counter()
        way.request("GET", "/api/totals")
        answer = way.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        taken[name].append(time.perf_counter() - began)
        time.sleep(max(0, due - time.perf_counter()))
print(json.dumps({name: statistics.quantiles(each[50:], n=20)[18] for name, each in taken.items()}))
"""
"""Both ways in turn over kept connections, 50 requests a second each; the first 50 warm the JVM."""


def figures(directory: Path) -> Iterator[Row]:
    """One box of 8 GB from its birth to its replacement; about four minutes on an idle machine."""
    with Cloud(directory / "cloud", cache=CACHE, boxes=True) as cloud:
        if cloud.without_boxes:
            raise RuntimeError(f"no boxes: {cloud.without_boxes}")
        project = option_a(directory / "project", cloud)
        project.stand()
        first = Instance(cloud)
        yield (
            "first boot, RunInstances to HTTPS 200",
            f"{_until(f'https://{first.address}/healthz', first.launched):.1f} s",
            "",
            "",
            "≤ 90 s, packages cached",
        )
        with environment(cloud):
            box = Served(directory, cloud, project, project.outputs())
            box.prepare()
            code, said = box.release(box.publish("v1"), "--soak-seconds", "2")
            if code:
                raise RuntimeError(str(said))
            url = f"https://{box.outputs['eip']}/api/receipts?limit=5"
            before = _get(url)
            yield from _overhead(box)
            first.terminate()
            project.pulumi("refresh", "--yes", "--skip-preview")
            project.pulumi("up", "--yes", "--skip-preview")
            second = Instance(cloud)
            seconds = _until(url, second.launched)
            kept = _get(url)["receipts"] == before["receipts"]
            yield (
                "replaced instance to its API with its data",
                f"{seconds:.1f} s",
                "",
                "",
                f"≤ 60 s; the same rows: {kept}",
            )


def _overhead(box: Served) -> Iterator[Row]:
    port = box.status()["parts"]["backend"]["port"]
    script = _OVERHEAD.replace("ROUNDS", str(OVERHEAD_ROUNDS)).replace("PORT", str(port))
    told: dict[str, float] = json.loads(box.sh(f"python3 - <<'EOF'\n{script}\nEOF"))
    over = (told["nginx"] - told["direct"]) * 1000
    yield (
        "Nginx over the backend alone, p95",
        f"{over:.2f} ms",
        f"{told['direct'] * 1000:.2f} ms",
        "",
        "≤ 2 ms over",
    )


def _until(url: str, since: float) -> float:
    """Seconds from `since` (of the epoch) until the URL answers with 200."""
    while True:
        try:
            if httpx.get(url, timeout=2, verify=False).is_success:  # noqa: S501 the box vouches for itself
                return time.time() - since
        except httpx.HTTPError:
            time.sleep(0.1)


def _get(url: str) -> Any:
    return httpx.get(url, timeout=5, verify=False).raise_for_status().json()  # noqa: S501 as above
