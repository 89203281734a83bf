"""Thresholds, alarms, objectives, budgets, dashboards, and the commands that show them."""
