"""What the feature files cost, and the order in which they are run because of it."""

from collections.abc import Iterable

from fraudd.scoring.feature_files import FeatureFile

#: Weight of the newest run in the mean; about the last twenty runs count.
_NEWEST = 0.1


class Costs:
    """The moving mean of how long each feature file takes, in seconds."""

    def __init__(self) -> None:
        self._mean_seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Count one run of a file."""
        mean = self._mean_seconds.get(name, seconds)
        self._mean_seconds[name] = mean + _NEWEST * (seconds - mean)

    def ordered(self, files: Iterable[FeatureFile]) -> list[FeatureFile]:
        """Put the file that knows who exists first, then what was never run, then the cheapest.

        So an unknown entity costs one statement, and what is going to fail fails early.
        """
        return sorted(
            files,
            key=lambda file: (
                not file.exists,
                self._mean_seconds.get(file.name, 0.0),
                file.name,
            ),
        )
