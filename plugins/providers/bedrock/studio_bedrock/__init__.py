"""Chat models of AWS Bedrock."""
