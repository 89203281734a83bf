"""The only place for what fits into a GPU's memory: weights, activations, and the KV cache that is left.

vLLM refuses to start when the cache holds fewer tokens than one request of MAX_MODEL_LEN may have, and requests
beyond what the cache holds wait inside the worker, where no scaler sees them.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3
PIXELS_PER_TOKEN = 28 * 28
"""One token of Qwen2.5-VL covers 28 × 28 pixels (its model card, "min_pixels = 256*28*28")."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model's configuration says; `weights_gib` as loaded in its data type."""

    name: str
    weights_gib: float
    layers: int
    kv_heads: int
    head_dimension: int
    largest_pixels: int

    def kv_bytes_per_token(self, element_bytes: int) -> int:
        """Keys and values of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dimension * element_bytes


MODELS: dict[str, ModelFacts] = {
    each.name: each
    for each in (
        # The model's config.json; weights in bf16 by arithmetic (verify by a boot); 12 845 056 pixels are its
        # preprocessor's max_pixels, 16 384 tokens.
        ModelFacts("Qwen/Qwen2.5-VL-7B-Instruct", 15.6, 28, 4, 128, 12_845_056),
    )
}

GPU_MEMORY_GIB: dict[str, float] = {"NVIDIA L4": 22.5}
"""What vLLM can address: nvidia-smi shows 23 034 MiB on an L4."""

ACTIVATIONS_GIB = 2.5
"""The peak while vLLM profiles with the largest images; of the 1.5 to 2.5 GiB that are told, the worse (verify)."""

UNITEMISED_GIB = 0.35
"""CUDA context, graphs, fragments: what is left over in the same accounts (verify)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One worker's memory. Sizes in GiB, lengths in tokens."""

    gpu: str
    total_gib: float
    utilization: float
    weights_gib: float
    activations_gib: float
    unitemised_gib: float
    kv_bytes_per_token: int

    @property
    def cache_gib(self) -> float:
        """What is left for the KV cache; below 0 the weights alone do not fit."""
        return (
            self.total_gib * self.utilization - self.weights_gib - self.activations_gib - self.unitemised_gib
        )

    @property
    def cache_tokens(self) -> int:
        """How many tokens the cache holds."""
        return max(0, int(self.cache_gib * GIB / self.kv_bytes_per_token))

    def requests_at_once(self, tokens: int) -> int:
        """How many requests of that length the cache holds side by side."""
        return self.cache_tokens // tokens

    def lines(self, *, model_length: int, request_tokens: int) -> list[tuple[str, str]]:
        """The arithmetic, line by line, as `gpu.py plan` shows it and errors quote it."""
        return [
            (f"{self.gpu}, addressable", f"{self.total_gib:6.2f} GiB"),
            (
                f"x GPU_MEMORY_UTILIZATION {self.utilization:.2f}",
                f"{self.total_gib * self.utilization:6.2f} GiB",
            ),
            ("- weights", f"{self.weights_gib:6.2f} GiB"),
            ("- activations", f"{self.activations_gib:6.2f} GiB"),
            ("- context, graphs, fragments", f"{self.unitemised_gib:6.2f} GiB"),
            ("= KV cache", f"{self.cache_gib:6.2f} GiB"),
            (f"/ {self.kv_bytes_per_token / 1024:.0f} KiB a token", f"{self.cache_tokens:6d} tokens"),
            (
                f"/ MAX_MODEL_LEN {model_length}",
                f"{self.requests_at_once(model_length):6d} longest requests at once",
            ),
            (f"/ {request_tokens} a request of ours", f"{self.requests_at_once(request_tokens):6d} at once"),
        ]


def budget(model: ModelFacts, gpu: str, *, utilization: float, kv_element_bytes: int = 2) -> Budget:
    """The memory of one worker with `model` on `gpu` (a key of GPU_MEMORY_GIB); 2 bytes are bf16, 1 is fp8."""
    return Budget(
        gpu,
        GPU_MEMORY_GIB[gpu],
        utilization,
        model.weights_gib,
        ACTIVATIONS_GIB,
        UNITEMISED_GIB,
        model.kv_bytes_per_token(kv_element_bytes),
    )


def needed_gib(model: ModelFacts, *, tokens: int, utilization: float, kv_element_bytes: int = 2) -> float:
    """What a card must let vLLM address to hold `model` and a KV cache of so many tokens, in GiB."""
    cache_gib = tokens * model.kv_bytes_per_token(kv_element_bytes) / GIB
    return (model.weights_gib + ACTIVATIONS_GIB + UNITEMISED_GIB + cache_gib) / utilization


def image_tokens(pixels: int) -> int:
    """What an image of that many pixels costs the model, rounded up."""
    return -(-pixels // PIXELS_PER_TOKEN)


def request_tokens(*, images: int, largest_pixels: int, text_tokens: int, output_tokens: int) -> int:
    """The longest request: every image at its largest, prompt, answer."""
    return images * image_tokens(largest_pixels) + text_tokens + output_tokens
