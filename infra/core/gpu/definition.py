"""The only place for the schema of runpod/endpoint.yaml: the platform's rules are checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from infra.core.errors import Fault, TerraceError, nearest
from infra.core.gpu import environment as variables
from infra.core.gpu import memory as gpu_memory
from infra.core.gpu.modes import IdleTimeouts, Wanted
from infra.core.gpu.platform import (
    IDLE_TIMEOUT_SECONDS,
    JOB_TIMEOUT_SECONDS,
    POOLS,
    QUEUE_DELAY_LEAST_SECONDS,
    QUOTA_WORKERS,
    EndpointType,
    FlashBoot,
    Scaler,
)
from infra.core.gpu.policy import Policy, read_policy

POLICY_FILE = Path(__file__).parents[3] / "runpod" / "policy.yaml"
FILE = Path(__file__).parents[3] / "runpod" / "endpoint.yaml"

FAKE_DIGEST = "sha256:" + "0" * 64
FAKE_REVISION = "0" * 40
"""Visibly nothing: only the double takes them. `scripts/gpu.py pin` writes real ones."""

HOST_CUDA = (((2, 19), "13.0"),)
"""From that tag of runpod/worker-v1-vllm on, hosts need that CUDA version (its Dockerfile and release notes)."""


def _rendered(value: object) -> object:
    """Numbers, switches and maps as the text that an environment holds."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return _compact(value)
    return value


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _matching(pattern: str, remedy: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} has not the right form. {remedy}")
        return value

    return check


Digest = Annotated[str, AfterValidator(_matching(r"sha256:[0-9a-f]{64}", "Fill it with: scripts/gpu.py pin"))]
Revision = Annotated[
    str,
    AfterValidator(
        _matching(r"[0-9a-f]{40}", "It is a commit of the model; fill it with: scripts/gpu.py pin")
    ),
]
Cuda = Annotated[str, AfterValidator(_matching(r"\d+\.\d+", 'Write it as "13.0", in quotes'))]
EnvironmentValue = Annotated[str, BeforeValidator(_rendered)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Model(_Strict):
    """The model that the image bakes."""

    name: str
    revision: Revision
    served_name: str = Field(min_length=1)


class Image(_Strict):
    """The worker's image: where it is pushed, and what it is built from."""

    repository: str = Field(min_length=1)
    tag: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
    digest: Digest
    base: str = Field(pattern=r"^[^@\s]+:[^@:\s]+$")
    base_digest: Digest

    @property
    def reference(self) -> str:
        """By tag for people and by digest for machines; the digest decides."""
        return f"{self.repository}:{self.tag}@{self.digest}"


class Gpu(_Strict):
    """Which cards workers run on: a pool, minus those that are not meant."""

    pool: str
    type: str
    excluded_types: tuple[str, ...] = ()
    count: int = Field(default=1, ge=1)
    min_cuda: Cuda | None = None
    allowed_cuda: tuple[Cuda, ...] = ()


class Idle(_Strict):
    """Seconds before an idle worker goes, by mode."""

    flex: int
    soft: int
    active: int


class Scaling(_Strict):
    """The platform's own scaler."""

    type: Scaler
    queue_delay_seconds: float | None = None
    request_count: int | None = Field(default=None, ge=1)


class Request(_Strict):
    """The longest request that the application sends; its images have the size that MM_PROCESSOR_KWARGS allows."""

    images: int = Field(ge=1)
    text_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)


class Definition(_Strict):
    """runpod/endpoint.yaml."""

    format: Literal[1]
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    type: EndpointType
    model: Model
    image: Image
    registry: str | None = Field(default=None, description="name of a registry credential")
    gpu: Gpu
    most_workers: int = Field(ge=1)
    idle_timeout_seconds: Idle | None = None
    scaling: Scaling
    flashboot: FlashBoot
    execution_timeout_seconds: int
    disk_gb: int = Field(ge=1)
    data_centers: tuple[str, ...] = ()
    request: Request
    environment: dict[str, EnvironmentValue]
    secret_environment: tuple[str, ...] = ()

    @property
    def idle_timeouts(self) -> IdleTimeouts | None:
        """By mode, or None where the scaler knows none."""
        idle = self.idle_timeout_seconds
        return None if idle is None else IdleTimeouts(idle.flex, idle.soft, idle.active)

    @property
    def largest_pixels(self) -> int:
        """The pixels that an image is cut down to before it is sent."""
        options = variables.json_map(self.environment["MM_PROCESSOR_KWARGS"]) or {}
        return int(options["max_pixels"])

    @property
    def fixed_environment(self) -> dict[str, str]:
        """What `model` decides."""
        return {
            "MODEL_NAME": self.model.name,
            "MODEL_REVISION": self.model.revision,
            "OPENAI_SERVED_MODEL_NAME_OVERRIDE": self.model.served_name,
        }

    @property
    def worker_environment(self) -> dict[str, str]:
        """Every variable of the worker that is not secret."""
        return {**self.environment, **self.fixed_environment}

    @property
    def model_length(self) -> int:
        """MAX_MODEL_LEN."""
        return int(self.environment["MAX_MODEL_LEN"])

    @property
    def concurrency(self) -> int:
        """Jobs that one worker pulls at once."""
        return int(self.environment["MAX_CONCURRENCY"])

    @property
    def request_tokens(self) -> int:
        """Tokens of the longest request."""
        return gpu_memory.request_tokens(
            images=self.request.images,
            largest_pixels=self.largest_pixels,
            text_tokens=self.request.text_tokens,
            output_tokens=self.request.output_tokens,
        )

    @property
    def kv_element_bytes(self) -> int:
        """Bytes of one number in the KV cache."""
        return 1 if self.environment.get("KV_CACHE_DTYPE", "auto").startswith("fp8") else 2

    @property
    def memory(self) -> gpu_memory.Budget:
        """What fits on one worker; `read` refuses cards and models without figures."""
        return gpu_memory.budget(
            gpu_memory.MODELS[self.model.name],
            self.gpu.type,
            utilization=float(self.environment["GPU_MEMORY_UTILIZATION"]),
            kv_element_bytes=self.kv_element_bytes,
        )

    def memory_lines(self) -> list[tuple[str, str]]:
        """The arithmetic behind `memory`, to be shown."""
        return self.memory.lines(model_length=self.model_length, request_tokens=self.request_tokens)

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Which values are visibly fake, by path."""
        pairs = (
            ("model.revision", self.model.revision == FAKE_REVISION),
            ("image.repository", self.image.repository.split("/")[0].endswith(".invalid")),
            ("image.digest", self.image.digest == FAKE_DIGEST),
            ("image.base_digest", self.image.base_digest == FAKE_DIGEST),
        )
        return tuple(path for path, fake in pairs if fake)

    def refuse_stand_ins(self, why: str) -> None:
        """Raises a TerraceError that names every fake value; `why` says who takes none."""
        if self.stand_ins:
            raise TerraceError(
                *(
                    Fault(
                        f"{FILE.name}: {path}",
                        f"is a stand-in, which {why}",
                        "Fill it with: scripts/gpu.py pin",
                    )
                    for path in self.stand_ins
                )
            )


def load(path: Path = FILE) -> Definition:
    """The definition in that file.

    Raises:
        TerraceError: no such file, no YAML, or anything that `read` refuses.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TerraceError(Fault(str(path), "there is no such file", "It belongs to the project")) from error
    except yaml.YAMLError as error:
        raise TerraceError(Fault(path.name, f"is no YAML: {error}", "Look at that line")) from error
    return read(raw, where=path.name)


def load_policy(path: Path = POLICY_FILE) -> Policy:
    """The controller's policy in that file.

    Raises:
        TerraceError: no such file, no YAML, or values that are refused.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TerraceError(
            Fault(path.name, f"cannot be read: {error}", "It belongs to the project")
        ) from error
    return read_policy(raw or {}, where=path.name)


def read(raw: object, *, where: str = FILE.name) -> Definition:
    """A definition from parsed YAML.

    Raises:
        TerraceError: everything that is wrong at once, each with its path, value, bound and remedy.
    """
    try:
        definition = Definition.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(each, where) for each in error.errors(include_url=False)]
        raise TerraceError(*faults, summary=f"{where} does not say what it must; nothing was sent.") from None
    if faults := [Fault(f"{where}: {f.path}", f.what, f.remedy) for rule in _RULES for f in rule(definition)]:
        raise TerraceError(*faults, summary=f"{where} breaks rules of the platform; nothing was sent.")
    return definition


def mode_faults(definition: Definition, wanted: Wanted) -> Iterator[Fault]:
    """Why a mode cannot be had with this definition."""
    if wanted in (Wanted.SOFT, Wanted.AUTO) and definition.idle_timeouts is None:
        yield Fault(
            "terrace:gpu.mode",
            f"{wanted} lives by a long idle timeout, which {Scaler.REQUEST_COUNT} does not know",
            f"Use {Scaler.QUEUE_DELAY} in {FILE.name}, or mode flex",
        )


def _fault(error: Any, where: str) -> Fault:
    path = f"{where}: " + ".".join(str(part) for part in error["loc"]) if error["loc"] else where
    if error["type"] == "missing":
        return Fault(path, "is missing", "Write it: the file in the repository shows every key")
    if error["type"] == "extra_forbidden":
        return Fault(
            path, "is no key of the definition", f"Take it out{nearest(str(error['loc'][-1]), _keys())}"
        )
    message = error["msg"].removeprefix("Value error, ")
    return Fault(path, f"{error.get('input')!r}: {message}", "Correct it")


def _keys() -> list[str]:
    models: tuple[type[BaseModel], ...] = (Definition, Model, Image, Gpu, Idle, Scaling, Request)
    return [name for model in models for name in model.model_fields]


def _scaling_rules(definition: Definition) -> Iterator[Fault]:
    scaling, idle = definition.scaling, definition.idle_timeout_seconds
    queue = definition.type is EndpointType.QUEUE
    counts = scaling.type is Scaler.REQUEST_COUNT
    if not queue and not counts:
        yield Fault(
            "scaling.type", f"{scaling.type} scales queues alone", "A load balancer takes REQUEST_COUNT"
        )
    for path, value, belongs in (
        ("scaling.queue_delay_seconds", scaling.queue_delay_seconds, not counts),
        ("scaling.request_count", scaling.request_count, counts),
    ):
        if belongs and value is None:
            yield Fault(path, f"is missing, and {scaling.type} scales by it", "Give it")
        if not belongs and value is not None:
            yield Fault(path, f"is {value}, which {scaling.type} does not know", "Take it out")
    delay = scaling.queue_delay_seconds
    if delay is not None and delay < QUEUE_DELAY_LEAST_SECONDS:
        yield Fault(
            "scaling.queue_delay_seconds", f"{delay} is below {QUEUE_DELAY_LEAST_SECONDS}", "Raise it"
        )
    if queue and counts and idle is not None:
        yield Fault(
            "idle_timeout_seconds",
            "is refused by the platform for a queue that scales by REQUEST_COUNT",
            "Take it out, or scale by QUEUE_DELAY",
        )
    if not (queue and counts) and idle is None:
        yield Fault("idle_timeout_seconds", "is missing", "Give flex, soft and active")
    least, most = IDLE_TIMEOUT_SECONDS
    for mode, seconds in (idle.model_dump() if idle else {}).items():
        if not least <= seconds <= most:
            yield Fault(
                f"idle_timeout_seconds.{mode}", f"{seconds} lies outside {least} to {most}", "Correct it"
            )


def _gpu_rules(definition: Definition) -> Iterator[Fault]:
    gpu = definition.gpu
    pool = POOLS.get(gpu.pool)
    if pool is None:
        yield Fault(
            "gpu.pool", f"{gpu.pool!r} is no pool{nearest(gpu.pool, POOLS)}", f"Pools: {', '.join(POOLS)}"
        )
        return
    for each in gpu.excluded_types:
        if each not in pool:
            yield Fault(
                "gpu.excluded_types",
                f"{each!r} is not in {gpu.pool}{nearest(each, pool)}: the platform would exclude nothing",
                f"Types there: {', '.join(pool)}",
            )
    if repeated := {each for each in gpu.excluded_types if gpu.excluded_types.count(each) > 1}:
        yield Fault("gpu.excluded_types", f"names {', '.join(sorted(repeated))} twice", "Name each once")
    remaining = [each for each in pool if each not in gpu.excluded_types]
    if gpu.type not in pool:
        yield Fault("gpu.type", f"{gpu.type!r} is not in {gpu.pool}", f"Types there: {', '.join(pool)}")
    elif remaining != [gpu.type]:
        said = ", ".join(remaining) or "no card at all"
        others = [each for each in pool if each != gpu.type]
        yield Fault(
            "gpu.excluded_types",
            f"leaves {said} where {gpu.type} alone is meant",
            f"Exclude {', '.join(others)}" if others else "Exclude nothing",
        )
    if gpu.min_cuda and gpu.allowed_cuda:
        yield Fault(
            "gpu.allowed_cuda", "stands beside gpu.min_cuda, which the platform refuses", "Keep the floor"
        )


def _image_rules(definition: Definition) -> Iterator[Fault]:
    tag = re.search(r":v\.?(\d+)\.(\d+)", definition.image.base)
    if tag is None:
        yield Fault(
            "image.base",
            f"{definition.image.base!r} bears no version",
            "Pin one, as runpod/worker-v1-vllm:v2.25.2",
        )
        return
    version = (int(tag[1]), int(tag[2]))
    needed = max((cuda for since, cuda in HOST_CUDA if version >= since), default=None)
    gpu = definition.gpu
    if needed is None:
        return
    if gpu.min_cuda is None and not gpu.allowed_cuda:
        yield Fault(
            "gpu.min_cuda", f"is missing: {tag[0][1:]} runs on hosts with CUDA {needed} or later", "Set it"
        )
    for path, value in (
        ("gpu.min_cuda", gpu.min_cuda),
        *(("gpu.allowed_cuda", each) for each in gpu.allowed_cuda),
    ):
        if value is not None and _version(value) < _version(needed):
            yield Fault(
                path, f"{value} lets hosts in that cannot run {tag[0][1:]}", f"Ask for {needed} at least"
            )


def _limit_rules(definition: Definition) -> Iterator[Fault]:
    least, most = JOB_TIMEOUT_SECONDS
    seconds = definition.execution_timeout_seconds
    if not least <= seconds <= most:
        yield Fault("execution_timeout_seconds", f"{seconds} lies outside {least} to {most}", "Correct it")
    if definition.most_workers > QUOTA_WORKERS:
        yield Fault(
            "most_workers",
            f"{definition.most_workers} is above the quota of {QUOTA_WORKERS} that a new account has",
            "Lower it, or have the quota raised and change QUOTA_WORKERS",
        )
    for each in definition.data_centers:
        if not re.fullmatch(r"[A-Z]{2,3}-[A-Z]{2,3}-\d+", each):
            yield Fault("data_centers", f"{each!r} has not the form of a data centre", "Write it as US-KS-2")


def _environment_rules(definition: Definition) -> Iterator[Fault]:
    yield from variables.faults(
        {**definition.fixed_environment, **definition.environment}, path="environment"
    )
    for name in definition.secret_environment:
        if name in definition.worker_environment:
            yield Fault(
                f"environment.{name}", "is named as a secret too", "Keep it in secret_environment alone"
            )
    for name in sorted(definition.fixed_environment.keys() & definition.environment.keys()):
        yield Fault(f"environment.{name}", "is what `model` decides", "Say it there alone")


def _memory_rules(definition: Definition) -> Iterator[Fault]:
    if any(variables.faults(definition.worker_environment, path="")):
        return
    if (model := gpu_memory.MODELS.get(definition.model.name)) is None:
        yield Fault(
            "model.name",
            f"{definition.model.name!r} has no figures here",
            "Add it to infra/core/gpu/memory.py",
        )
        return
    options = variables.json_map(definition.environment["MM_PROCESSOR_KWARGS"]) or {}
    pixels = options.get("max_pixels")
    if not isinstance(pixels, int) or not gpu_memory.PIXELS_PER_TOKEN <= pixels <= model.largest_pixels:
        yield Fault(
            "environment.MM_PROCESSOR_KWARGS",
            f"caps max_pixels at {pixels}, not between {gpu_memory.PIXELS_PER_TOKEN} and {model.largest_pixels}",
            'Write {"min_pixels":3136,"max_pixels":1003520}',
        )
        return
    limit = (variables.json_map(definition.environment["LIMIT_MM_PER_PROMPT"]) or {}).get("image", 0)
    if definition.request.images > limit:
        yield Fault(
            "request.images",
            f"{definition.request.images} is above LIMIT_MM_PER_PROMPT's {limit}",
            "Raise the limit",
        )
    tokens, length = definition.request_tokens, definition.model_length
    if tokens > length:
        request = definition.request
        yield Fault(
            "environment.MAX_MODEL_LEN",
            f"{length} is less than {request.images} x {pixels} px / {gpu_memory.PIXELS_PER_TOKEN} "
            f"+ {request.text_tokens} + {request.output_tokens} = {tokens} tokens",
            "Raise it, or send less",
        )
    if definition.gpu.type not in gpu_memory.GPU_MEMORY_GIB:
        utilization = float(definition.environment["GPU_MEMORY_UTILIZATION"])
        needed = gpu_memory.needed_gib(
            model, tokens=length, utilization=utilization, kv_element_bytes=definition.kv_element_bytes
        )
        yield Fault(
            "gpu.type",
            f"how much of {definition.gpu.type!r} vLLM can address is not known here; {length} tokens beside "
            f"{model.weights_gib} GiB of weights need {needed:.1f} GiB at {utilization:.2f}",
            f"If it has that, add what nvidia-smi shows to GPU_MEMORY_GIB in {gpu_memory.__name__}",
        )
        return
    budget = definition.memory
    if budget.cache_tokens < length:
        sums = "; ".join(f"{name} {value.strip()}" for name, value in definition.memory_lines())
        yield Fault(
            "environment.MAX_MODEL_LEN",
            f"{length} does not fit: the KV cache beside the weights holds {budget.cache_tokens} tokens ({sums})",
            f"At most {budget.cache_tokens}; or KV_CACHE_DTYPE fp8, or smaller weights",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


_RULES: tuple[Callable[[Definition], Iterator[Fault]], ...] = (
    _scaling_rules, _gpu_rules, _image_rules, _limit_rules, _environment_rules, _memory_rules,
)  # fmt: skip
