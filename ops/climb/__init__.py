"""Climbs from stage to stage: evidence, gates, plan, approval, and the walk that can be killed at any point."""
