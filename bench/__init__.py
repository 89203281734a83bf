"""Measurements, printed as ratios of what was measured in one run; nothing here asserts a time."""
