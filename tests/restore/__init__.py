"""Backups and restores, without machines."""
