"""The programs of a box: standard library and boto3 alone."""
