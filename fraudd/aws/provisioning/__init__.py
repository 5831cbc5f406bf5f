"""The AWS resources of an installation: described, compared, created."""
