"""The documents are tried on the daemon that the integration tests have."""

from tests.stack.fixtures import config, feature_folder, model_file, observer, start

__all__ = ("config", "feature_folder", "model_file", "observer", "start")
