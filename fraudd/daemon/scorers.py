"""Loads feature SQL and model from disk, tests them, and puts them into use."""

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
    """Feature files, and a model with the same features."""

    files: FeatureFiles
    model: XgboostModel


def load(config: Config, *, probe: bool = False) -> Loaded:
    """Read feature files and model, and compare their features. Blocks the calling thread.

    With ``probe`` a damaged model cannot crash this process. Raises ``Misconfigured`` with every
    problem of the files or the model.
    """
    feature_files = files.load(config.features.directory)
    return Loaded(
        feature_files,
        model.load(
            config.model.path,
            feature_files,
            review_threshold=config.model.review_threshold,
            block_threshold=config.model.block_threshold,
            probe=probe,
        ),
    )


class Scorers:
    """Holds the scorer in use, and replaces it after a test."""

    def __init__(
        self, config: Config, *, connections: Connections, permits: Permits, clock: Clock
    ) -> None:
        self._config = config
        self._connections = connections
        self._permits = permits
        self._clock = clock
        self._current: Scorer | None = None
        #: One test at a time: the first one may still wait for the database during a reload.
        self._testing = asyncio.Lock()
        #: The versions of the model and of the feature SQL in use.
        self.model = self.features_version = ""

    def current(self) -> Scorer:
        """Return the scorer in use. There is none before the first ``use``."""
        assert self._current is not None, "use() comes first"
        return self._current

    async def use_first(self, loaded: Loaded) -> None:
        """Use ``loaded`` unless a reload has put other files into use. Raises as ``use``."""
        async with self._testing:
            if self._current is None:
                await self._use(loaded)

    async def use(self, loaded: Loaded) -> None:
        """Test feature files and model, then put both into use in one step.

        Each file runs on the database for an entity that does not exist, under a connection permit.
        The model scores the result. Raises ``Misconfigured`` or ``Unavailable``, and changes
        nothing then.
        """
        async with self._testing:
            await self._use(loaded)

    async def _use(self, loaded: Loaded) -> None:
        features = SqlFeatures(loaded.files, self._connections, self._clock)
        permit = await self._permits.acquire()
        try:
            values = await features.check(permit)
        finally:
            permit.release()
        # The first score of a model takes long, so it must not run on the event loop.
        await asyncio.to_thread(loaded.model.try_out, values)
        self._current = Scorer(features, loaded.model)
        self.model, self.features_version = loaded.model.version, loaded.model.features_version
        if not loaded.model.same_sql:
            log.warning(
                "model.features_version_mismatch", model=self.model, path=self._config.model.path
            )

    async def reload(self) -> None:
        """Load the files again and use them. Raises the exceptions of ``load`` and ``use``."""
        await self.use(await asyncio.to_thread(load, self._config, probe=True))
