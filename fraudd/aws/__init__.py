"""DynamoDB, SQS, and SNS through aiobotocore: errors are translated here, once."""
