"""What a box tells CloudWatch of itself: the agent's configuration, its stand-in, our own metrics, deploys under way."""
