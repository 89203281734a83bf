"""The stand-in `aws` provider: what the real Pulumi engine talks to instead of pulumi-aws, in front of the AWS API.

It is not pulumi-aws. It creates, reads, updates and deletes the real objects of the embedded AWS API by boto3, from
one table of resource kinds (tables/), checks every input against pulumi_aws's own annotations (schema.py), and takes
from replacement.yaml what replaces. A kind, or an input of a kind, that the table does not carry is refused.
"""
