"""DynamoDB, SQS, and SNS through aiobotocore, and the translation of their errors."""
