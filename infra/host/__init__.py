"""What runs on a box."""
