"""The ports of ops on real things: one library each."""
