"""The GPU endpoint, on the double."""
