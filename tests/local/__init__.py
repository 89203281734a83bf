"""Tests of the scripts that a person runs on the embedded cloud."""
