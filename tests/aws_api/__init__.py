"""Tests of the AWS API of the embedded cloud."""
