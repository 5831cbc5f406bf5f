"""What makes scores, from its files on disk to what may be used: read, compared, tried out."""

import asyncio
from dataclasses import dataclass

from fraudd.config import Config
from fraudd.database.connections import Connections
from fraudd.ports import Clock, Permits, Scorer
from fraudd.scoring import feature_files as files
from fraudd.scoring import model
from fraudd.scoring.feature_files import FeatureFiles
from fraudd.scoring.features import SqlFeatures
from fraudd.scoring.model import XgboostModel
from fraudd.telemetry import log


@dataclass(frozen=True, slots=True)
class Loaded:
    """Feature files and the model whose features they are."""

    files: FeatureFiles
    model: XgboostModel


def load(config: Config, *, prove: bool = False) -> Loaded:
    """Read feature files and model, and compare them; blocks meanwhile.

    ``prove``: a damaged model must not end this process, which has work in hand. Raises
    ``Misconfigured`` with all that is wrong with the files, or with the model.
    """
    feature_files = files.load(config.features.directory)
    return Loaded(
        feature_files,
        model.load(
            config.model.path,
            feature_files,
            review_threshold=config.model.review_threshold,
            block_threshold=config.model.block_threshold,
            probe=prove,
        ),
    )


class Scorers:
    """Keeps what makes scores now, and exchanges it for what has proved itself."""

    def __init__(
        self, config: Config, *, connections: Connections, permits: Permits, clock: Clock
    ) -> None:
        self._config = config
        self._connections = connections
        self._permits = permits
        self._clock = clock
        self._current: Scorer | None = None
        #: The version of the model in use, and what stands for the SQL.
        self.model = self.features_version = ""

    def current(self) -> Scorer:
        """Give what makes scores now; there is something from the first ``use`` on."""
        assert self._current is not None, "nothing was loaded yet"
        return self._current

    async def use(self, loaded: Loaded) -> None:
        """Try feature files and model out, and use them from now on, in one step.

        Each file runs on the database for an entity that nobody is, under a permit as any run; the
        model scores what comes. Raises ``Misconfigured`` or ``Unavailable``: then all is as before.
        """
        features = SqlFeatures(loaded.files, self._connections, self._clock)
        permit = await self._permits.acquire()
        try:
            values = await features.check(permit)
        finally:
            permit.release()
        # The first score of a model takes long: not on the event loop.
        await asyncio.to_thread(loaded.model.try_out, values)
        self._current = Scorer(features, loaded.model)
        self.model, self.features_version = loaded.model.version, loaded.model.features_version
        if not loaded.model.same_sql:
            log.warning(
                "model.features_version_mismatch", model=self.model, path=self._config.model.path
            )

    async def reload(self) -> None:
        """Read the files again, and use what is in them; raises as ``load`` and ``use`` do."""
        await self.use(await asyncio.to_thread(load, self._config, prove=True))
