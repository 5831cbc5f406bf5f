"""Feature SQL and the model: from an entity to a score with reasons."""
