"""The only place for the worker's environment: which variables it needs, what they may hold, what it ignores.

The image is runpod/worker-v1-vllm from v2.24.0 on, which hands every UPPER_SNAKE name of a `vllm serve` flag on to
that flag; source: configuration.md in its docs folder of runpod-workers/worker-vllm. RunPod's own page is older.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.core.errors import Fault

VOLUME_PATH = "/runpod-volume"
"""Where an attached network volume is mounted: it hides whatever an image has there (docs)."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable; `check` says what is wrong with a value, or nothing."""

    name: str
    check: Callable[[str], str]
    needed: str = ""
    """Why the worker must have it; empty where it need not."""


def _text(value: str) -> str:
    return "" if value else "is empty"


def _whole(value: str) -> str:
    return "" if value.isdecimal() and int(value) > 0 else "is no whole number above 0"


def _share(value: str) -> str:
    try:
        return "" if 0 < float(value) < 1 else "is no share between 0 and 1"
    except ValueError:
        return "is no share between 0 and 1"


def _flag(value: str) -> str:
    # Anything else is a ValueError in the worker's start: it crashes, is started again, and bills each time.
    return "" if value.lower() in ("true", "false") else "is neither true nor false"


def _one_of(*values: str) -> Callable[[str], str]:
    return lambda value: "" if value in values else f"is none of {', '.join(values)}"


def _map(value: str) -> str:
    return "" if json_map(value) is not None else 'is no JSON map such as {"image":2,"video":0}'


VARIABLES: dict[str, Variable] = {
    each.name: each
    for each in (
        Variable("MODEL_NAME", _text, "the worker would not know what to load and crash at its start"),
        Variable("MODEL_REVISION", _text, "`main` is another model tomorrow"),
        Variable(
            "OPENAI_SERVED_MODEL_NAME_OVERRIDE", _text, "a baked model is else served under its cache path"
        ),
        Variable("MAX_MODEL_LEN", _whole, "the worker's default of 128000 tokens does not fit into 22.5 GiB"),
        Variable("GPU_MEMORY_UTILIZATION", _share, "the default is 0.9 or 0.95, by source"),
        Variable("LIMIT_MM_PER_PROMPT", _map, "vLLM else prepares for inputs that are never sent"),
        Variable(
            "MM_PROCESSOR_KWARGS", _map, "vLLM profiles its memory with the largest image: cap max_pixels"
        ),
        Variable("MAX_CONCURRENCY", _whole, "the default lets one worker swallow 30 jobs"),
        Variable("MAX_NUM_SEQS", _whole),
        Variable("MAX_NUM_BATCHED_TOKENS", _whole),
        Variable("DTYPE", _one_of("auto", "bfloat16", "float16", "half", "float", "float32")),
        Variable("QUANTIZATION", _text),
        Variable("KV_CACHE_DTYPE", _one_of("auto", "fp8", "fp8_e4m3", "fp8_e5m2")),
        Variable("ENABLE_PREFIX_CACHING", _flag),
        Variable("ENABLE_CHUNKED_PREFILL", _flag),
        Variable("ENFORCE_EAGER", _flag),
        Variable("TRUST_REMOTE_CODE", _flag),
        Variable("SKIP_MM_PROFILING", _flag),
        Variable("SEED", lambda value: "" if value.isdecimal() else "is no whole number"),
        Variable("BASE_PATH", lambda value: _hidden_by_volume(value)),
        Variable("VLLM_PORT", _whole),
        Variable("VLLM_STARTUP_TIMEOUT", _whole),
        Variable("REQUEST_TIMEOUT", _whole),
        Variable("RUNPOD_INIT_TIMEOUT", _whole),
        Variable("MM_PROCESSOR_CACHE_GB", _text),
        Variable("VLLM_EXTRA_ARGS", _text),
        Variable("VLLM_CONFIG_FILE", _text),
        Variable("TOKENIZER_NAME", _text),
        Variable("HF_TOKEN", _text),
        Variable("ALLOWED_MEDIA_DOMAINS", _text),
        Variable("ALLOWED_LOCAL_MEDIA_PATH", _text),
    )
}

IGNORED = (
    "RAW_OPENAI_OUTPUT", "SWAP_SPACE", "DISABLE_LOG_REQUESTS", "VLLM_API_KEY", "DEFAULT_BATCH_SIZE",
    "DEFAULT_MIN_BATCH_SIZE", "DEFAULT_BATCH_SIZE_GROWTH_FACTOR", "GUIDED_DECODING_BACKEND",
)  # fmt: skip
"""Names of the worker before v2.24.0 that have no effect any more."""

MISSPELT = 0.85
"""How alike a name must be to a known one to be taken for a mistake: other flags of vLLM pass."""

OLD_FORM = "the form image=2,video=0 is of vLLM before 0.10"


def faults(environment: Mapping[str, str], *, path: str) -> Iterator[Fault]:
    """What is wrong with an environment: what lacks, what holds nonsense, what has no effect."""
    for variable in VARIABLES.values():
        if variable.needed and variable.name not in environment:
            yield Fault(f"{path}.{variable.name}", f"is missing: {variable.needed}", "Set it")
    for name, value in environment.items():
        where = f"{path}.{name}"
        if name in IGNORED:
            yield Fault(where, "has no effect in the worker since v2.24.0", "Take it out")
        elif (known := VARIABLES.get(name)) is not None:
            if wrong := known.check(value):
                yield Fault(where, f"{value!r} {wrong}", f"Correct it{_hint(name, value)}")
        elif not name.replace("_", "").isalnum() or name != name.upper() or name[:1].isdigit():
            yield Fault(where, "is no name of an environment variable", "Use capitals, digits and _")
        elif close := difflib.get_close_matches(name, VARIABLES, 1, MISSPELT):
            yield Fault(
                where, f"is unknown (did you mean {close[0]!r}?)", "Correct it, or use VLLM_EXTRA_ARGS"
            )


def json_map(value: str) -> dict[str, Any] | None:
    """The JSON map that the text is, or None."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _hint(name: str, value: str) -> str:
    return f": {OLD_FORM}" if name == "LIMIT_MM_PER_PROMPT" and "=" in value else ""


def _hidden_by_volume(value: str) -> str:
    hidden = value == VOLUME_PATH or value.startswith(VOLUME_PATH + "/")
    return (
        f"lies under {VOLUME_PATH}, where an attached volume hides the baked weights"
        if hidden
        else _text(value)
    )
