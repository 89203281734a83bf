"""The alarm evaluator against CloudWatch's documentation and against a second, simpler implementation."""
