"""Code that runs in AWS Lambda; each file is a function of its own and imports nothing of ours."""
