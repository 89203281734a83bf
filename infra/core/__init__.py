"""Pure data and arithmetic; imports neither pulumi nor boto3."""
