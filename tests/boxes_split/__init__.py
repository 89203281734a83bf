"""Two boxes and their database, made by the real engine."""
