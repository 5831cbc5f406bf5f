"""DynamoDB, SQS and SNS, through aiobotocore."""
