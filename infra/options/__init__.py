"""The layouts: what the stages of one option have in common, as variants under one type token."""
