"""The embedded cloud: AWS, its machines and RunPod on one computer, for `make demo`, tests and CI."""
