"""Backups and restores on real machines."""
