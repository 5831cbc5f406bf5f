"""Feature files of daemons under test, whose runs a test can hold up."""

from pathlib import Path

FEATURES = {
    "known": """\
-- exists
-- feature known: whether the entity is known | known
SELECT 1 AS known FROM DUAL WHERE %(entity_id)s LIKE 'shop-%%'""",
    # Whoever holds the lock of the entity's name holds up its run.
    "gate": """\
-- feature gate: whether the gate was open | the gate was open
SELECT GET_LOCK(%(entity_id)s, 50) * RELEASE_LOCK(%(entity_id)s) AS gate""",
    "pace": """\
-- feature pace: seconds that the statement sleeps | {value:.0f} seconds asleep
SELECT SUM(SLEEP(seconds)) AS pace FROM pace WHERE entity_id = %(entity_id)s""",
    "size": """\
-- feature size: characters of the name | {value:.0f} characters
SELECT CHAR_LENGTH(%(entity_id)s) AS size""",
    "things": """\
-- feature things: things there are | {value:.0f} things
-- feature nothing: what nobody knows | {value}
SELECT COUNT(*) AS things, MAX(n) AS nothing FROM things WHERE %(entity_id)s <> ''""",
}


def write_features(folder: Path, *names: str) -> None:
    """Write feature files into a folder: those with these names, or all."""
    for name in names or FEATURES:
        (folder / f"{name}.sql").write_text(FEATURES[name])
