"""What a box tells CloudWatch of itself: the agent's configuration and stand-in, own metrics, deploys under way."""
