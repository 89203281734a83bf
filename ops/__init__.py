"""What happens to a stack: use cases behind ports."""
