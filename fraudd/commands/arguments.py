"""Arguments that several subcommands take."""

import argparse

from fraudd.prediction.record import ENTITY_ID, ENTITY_ID_RULE


def entity_id(text: str) -> str:
    """Take an entity's id as it is, or say what one looks like."""
    if not ENTITY_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:60]!r}: must be {ENTITY_ID_RULE}")
    return text
