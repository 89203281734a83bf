"""Deploys without machines: the engine on a box that is only pretended, and what stands round it."""
