"""The programs of the box: standard library, boto3, and the core modules that infra/host/bundle.py names."""
