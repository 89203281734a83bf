"""Deploys on real boxes, under load."""
