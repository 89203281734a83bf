"""Components: one file for each concern, each with its arguments, its children, and read-only attributes."""
