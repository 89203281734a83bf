"""The GPU endpoint's controller, on a box by a timer; elsewhere by `scripts/gpu.py run`."""
