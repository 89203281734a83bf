"""The only place that measures the GPU's policies: J against two optima, a month of a million, 10 000 unlucky hours.

    make bench ARGS=gpu                 all of it, with the page .local/bench/gpu.html
    .venv/bin/python -m bench.gpu       the table of all policies on all traces

Parameters stand in runpod/policy.yaml and were chosen on seeds 1 and 2; the seeds here have not been used for that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from bench.figures import Figure
from bench.gpu_endured import endure_all
from bench.gpu_pareto import TARGET, page, pareto
from infra.core.gpu.definition import load, load_policy
from infra.core.gpu.online import online_optimum
from infra.core.gpu.optimum import optimum
from infra.core.gpu.simulate import Outcome, all_policies, simulate
from infra.core.gpu.traces import SHAPES, make, means

ROOT = Path(__file__).parents[1]
PLACE = ROOT / ".local" / "bench"
UNSEEN = (101, 102, 103)
USERS, DAYS = 500, 7
FIXED_TARGET, MONTH_SECONDS = 1.05, 60
MODEL_SHARE = 0.05
"""Of a million users' receipts, what is sent to the model; the others never reach it."""
HOURS = 10_000
FIXED = ("flex (queue delay)", "soft", "active")
OPTIMUM, OURS = "optimum", "ours"


def figures(_: Path) -> Iterator[Figure]:
    """What `make bench` prints of the GPU; the page with the chart is written beside."""
    rows = compare()
    floors = {shape: online_optimum(means(shape, users=USERS, days=DAYS), load_policy()) for shape in SHAPES}
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "gpu.svg").write_text(pareto(rows), encoding="utf-8")
    (PLACE / "gpu.html").write_text(page(rows, floors, SHAPES), encoding="utf-8")
    plain = [{name: getattr(each, name) for name in each.__slots__} for each in rows]
    (PLACE / "gpu.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
    for shape, (_density, rhythmic) in SHAPES.items():
        yield from _judged(shape, rows, floors[shape], rhythmic=rhythmic)
    seconds, requests = month_of_a_million()
    yield Figure(
        f"a month of 1 000 000 users simulated, {MODEL_SHARE:.0%} of receipts to the model",
        f"{seconds:.1f} s",
        f"{requests}",
        "",
        f"<= {MONTH_SECONDS} s",
    )
    started = time.monotonic()
    lives = endure_all(HOURS)
    lost = sum(max(0, each["sent"] - each["ended"] - each["waiting"]) for each in lives)
    yield Figure(
        f"{HOURS} h of the double, jobs lost",
        f"{lost}",
        f"{sum(each['sent'] for each in lives)}",
        "",
        f"0; {sum(each['faults'] for each in lives)} faults, {time.monotonic() - started:.0f} s",
    )
    overshoot = max(each["worst_overshoot_usd"] for each in lives)
    bound = lives[0]["overshoot_bound_usd"]
    yield Figure(
        "  beyond the budget, worst month", f"{overshoot:.2f} $", f"{bound:.2f} $", "", "<= the bound"
    )
    below, above = (max(each[f"counted_{side}_bill_usd"] for each in lives) for side in ("below", "above"))
    dearest, budget = max(each["dearest_month_usd"] for each in lives), lives[0]["budget_usd"]
    said = f"dearest month {dearest:.2f} $ of a budget of {budget:.0f} $"
    yield Figure("  count below and above the bill, most", f"{below:.4f} $", f"{above:.2f} $", "", said)
    flips, allowed = max(each["most_flips_a_day"] for each in lives), lives[0]["flips_allowed"]
    yield Figure("  flips a day, most", f"{flips}", f"{allowed}", "", "<= what the policy allows")
    yield Figure("page", str(PLACE / "gpu.html"), "", "", "")


def compare() -> list[Outcome]:
    """Every policy on every trace, unseen seeds; a trace's name holds its shape and its seed."""
    policy, idle = load_policy(), load().idle_timeouts
    assert idle is not None
    rows: list[Outcome] = []
    for shape in SHAPES:
        for seed in UNSEEN:
            trace = make(shape, users=USERS, days=DAYS, seed=seed, mark=f"{shape} {seed}")
            rows.append(optimum(trace, policy))
            rows += [
                simulate(trace, name, choose, policy)
                for name, choose in all_policies(policy, trace, idle).items()
            ]
    return rows


def mean_usd(rows: list[Outcome], shape: str, policy: str) -> float:
    """The mean J of a policy on a shape."""
    return fmean(
        each.total_usd for each in rows if each.policy == policy and each.trace.startswith(f"{shape} ")
    )


def month_of_a_million() -> tuple[float, int]:
    """Seconds that a month of a million users takes, and how many receipts go to the model: `MODEL_SHARE` of them."""
    policy, idle = load_policy(), load().idle_timeouts
    assert idle is not None
    trace = make("meals", users=1_000_000, days=30, seed=101, share=MODEL_SHARE, most_workers=5)
    started = time.process_time()
    simulate(trace, OURS, all_policies(policy, trace, idle)[OURS], policy)
    return time.process_time() - started, sum(trace.minutes)


def _judged(shape: str, rows: list[Outcome], floor: float, *, rhythmic: bool) -> Iterator[Figure]:
    ours, best = mean_usd(rows, shape, OURS), mean_usd(rows, shape, OPTIMUM)
    fixed = min(mean_usd(rows, shape, each) for each in FIXED)
    said = _target(ours / best, TARGET) if rhythmic else "no target without a rhythm"
    yield Figure(
        f"J on {shape}: ours / clairvoyant", f"{ours:.2f}", f"{best:.2f}", f"{ours / best:.3f}", said
    )
    yield Figure(
        "  ours / best that knows the rates alone",
        f"{ours:.2f}",
        f"{floor:.2f}",
        f"{ours / floor:.3f}",
        f"that one stands at {floor / best:.3f} of the clairvoyant",
    )
    yield Figure(
        "  ours / best fixed mode", f"{ours:.2f}", f"{fixed:.2f}", f"{ours / fixed:.3f}",
        _target(ours / fixed, FIXED_TARGET),
    )  # fmt: skip


def _target(value: float, target: float) -> str:
    return f"<= {target}" + ("" if value <= target else f": missed by {value - target:.3f}")


def _counts(row: Outcome) -> tuple[float | None, ...]:
    return row.wait_p50_seconds, row.wait_p95_seconds, row.cold_starts, row.flips


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def main() -> None:
    """The table alone."""
    rows = compare()
    head = ("trace", "policy", "J USD", "x optimum", "bill", "p50 s", "p95 s", "cold", "flips")
    print(f"{head[0]:<14}{head[1]:<20}" + "".join(f"{each:>10}" for each in head[2:]))
    best = {each.trace: each.total_usd for each in rows if each.policy == OPTIMUM}
    for each in rows:
        print(
            f"{each.trace:<14}{each.policy:<20}{each.total_usd:>10.2f}{each.total_usd / best[each.trace]:>10.3f}"
            f"{each.cost_usd:>10.2f}" + "".join(f"{_plain(value):>10}" for value in _counts(each))
        )


if __name__ == "__main__":
    main()
