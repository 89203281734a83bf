"""Typed clients of other people's APIs, which the program and `ops` share."""
