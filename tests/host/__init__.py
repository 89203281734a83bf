"""What runs on the box, tested without one."""
