"""The integration tests run a daemon in their own process."""

from tests.stack.fixtures import (
    completions,
    config,
    feature_folder,
    model_file,
    observer,
    pool,
    requests,
    server,
    start,
)

__all__ = (
    "completions",
    "config",
    "feature_folder",
    "model_file",
    "observer",
    "pool",
    "requests",
    "server",
    "start",
)
