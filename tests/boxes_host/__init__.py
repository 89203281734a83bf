"""The host on real boxes, made by the real engine."""
