"""The sections and keys of the configuration file, with their ranges and defaults."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[float, Field(gt=0, le=3_650)]
Share = Annotated[float, Field(ge=0, le=1)]


def _resolved(path: Path, info: ValidationInfo) -> Path:
    return info.context / path if isinstance(info.context, Path) else path


#: A relative path is relative to the folder of the configuration file.
File = Annotated[Path, AfterValidator(_resolved)]


def _resolved_secret(name: str, info: ValidationInfo) -> str:
    return str(_resolved(Path(name), info)) if "/" in name else name


#: The name of a credential, or the path of a file. A path contains a slash.
Secret = Annotated[str, AfterValidator(_resolved_secret)]


#: The least default of ``busy_threads``.
_BUSY_THREADS = 50
_ZONE = re.compile(r"[+-]\d\d:\d\d|[A-Za-z]+(/[A-Za-z_+-]+)*")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HttpSection(_Section):
    """The HTTP server."""

    #: This key comes first, because the check of ``listen`` needs it.
    tokens_credential: Secret | None = None
    listen: str = "127.0.0.1:8080"
    default_max_age_seconds: Annotated[float, Field(ge=0)] | None = None
    #: RFC 7240 has whole seconds.
    max_wait_seconds: Annotated[int, Field(ge=0, le=60)] = 60
    test_entities: bool = False
    requests_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    max_pending: Annotated[int, Field(ge=1, le=100_000_000)] = 10_000

    @field_validator("listen")
    @classmethod
    def _safe(cls, value: str, info: ValidationInfo) -> str:
        host, _, port = value.rpartition(":")
        if not port.isdecimal() or int(port) > 65_535:
            raise ValueError("must be ADDRESS:PORT, for example 127.0.0.1:8080 or [::1]:8080")
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            raise ValueError(
                "the address must be numeric, for example 127.0.0.1 or [::1]"
            ) from None
        if not address.is_loopback and info.data.get("tokens_credential") is None:
            raise ValueError(
                "must be a loopback address, because [http] tokens_credential is not set"
            )
        return value

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on. Port 0 means any free port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class AwsSection(_Section):
    """The region, endpoint, and limits of AWS calls."""

    region: str
    endpoint_url: str | None = None
    connect_timeout_seconds: Seconds = 2.0
    read_timeout_seconds: Seconds = 5.0
    max_connections: Annotated[int, Field(ge=1, le=1_000)] = 50

    @field_validator("region")
    @classmethod
    def _region_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", value):
            raise ValueError("must be a region name, for example eu-central-1")
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", value):
            raise ValueError("must be a URL, for example http://127.0.0.1:4566")
        return value


class QueueSection(_Section):
    """The queues of request events."""

    url: str
    bulk_url: str | None = None
    dead_letter_url: str | None = None
    #: SQS has whole seconds, and up to 20 of them for a long poll. It hides a message for twelve
    #: hours in all, so a heartbeat with a long visibility timeout would be refused.
    wait_seconds: Annotated[int, Field(ge=0, le=20)] = 20
    visibility_timeout_seconds: Annotated[int, Field(ge=10, le=1_800)] = 120


class TopicsSection(_Section):
    """The two SNS topics."""

    requests_arn: str
    completions_arn: str


class ResultsSection(_Section):
    """The results table."""

    table: str
    result_ttl_days: Days = 90.0
    failed_ttl_days: Days = 7.0


class DatabaseSection(_Section):
    """The platform's MySQL or MariaDB."""

    host: str
    port: Annotated[int, Field(ge=1, le=65_535)] = 3306
    user: str
    name: str
    password_credential: Secret | None = None
    iam_auth: bool = False
    ca_file: File | None = None
    max_connections: Annotated[int, Field(ge=1, le=1_000)] = 2
    idle_seconds: Seconds = 30.0
    connect_timeout_seconds: Seconds = 5.0
    query_timeout_seconds: Seconds = 60.0
    snapshot_timeout_seconds: Seconds = 60.0
    busy_threads: Annotated[int, Field(ge=1, le=100_000)] | None = None
    replica_lag_seconds: Annotated[float, Field(ge=0, le=3_600)] = 0.0
    time_zone: str = "+00:00"

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if not _ZONE.fullmatch(value):
            raise ValueError("must be an offset or a zone, for example +09:00 or Asia/Tokyo")
        return value

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        """Reject an IAM token if it cannot work."""
        if self.iam_auth and self.password_credential is not None:
            raise ValueError("iam_auth and password_credential exclude each other: remove one")
        if self.iam_auth and self.loopback:
            raise ValueError(
                "iam_auth needs TLS, and a loopback address has none: use it with RDS only"
            )
        return self

    @property
    def loopback(self) -> bool:
        """Whether the database is on this machine, so that TLS would protect nothing."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class ConsumersSection(_Section):
    """The pool of consumers."""

    count: Annotated[int, Field(ge=1, le=1_001)] | None = None
    run_timeout_seconds: Seconds = 120.0
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    fleet_size: Annotated[int, Field(ge=1, le=10_000)] = 1


class RunsSection(_Section):
    """Runs that wait or fail."""

    max_wait_seconds: Annotated[float, Field(gt=0)] | None = None
    retry_failed_after_seconds: Annotated[float, Field(ge=0)] = 60.0
    backoff_base_seconds: Seconds = 2.0
    #: The longest visibility timeout of SQS is twelve hours.
    backoff_max_seconds: Annotated[float, Field(gt=0, le=43_200)] = 60.0


class SweeperSection(_Section):
    """The sweeper, which sends lost wake-up messages again."""

    interval_seconds: Seconds = 15.0
    grace_seconds: Seconds = 60.0
    requeue_after_seconds: Seconds = 900.0


class FeaturesSection(_Section):
    """The feature SQL."""

    directory: File


class ModelSection(_Section):
    """The trained model."""

    path: File
    review_threshold: Share | None = None
    block_threshold: Share | None = None


class LogSection(_Section):
    """The level and format of the log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Config(_Section):
    """The whole configuration."""

    http: HttpSection = HttpSection()
    aws: AwsSection
    queue: QueueSection
    topics: TopicsSection
    results: ResultsSection
    database: DatabaseSection
    consumers: ConsumersSection = ConsumersSection()
    runs: RunsSection = RunsSection()
    features: FeaturesSection
    model: ModelSection
    sweeper: SweeperSection = SweeperSection()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _times_work_together(self) -> Self:
        """Reject combinations of values that cannot work."""
        problems = []
        heartbeat = self.queue.visibility_timeout_seconds / 6
        slowest = max(self.aws.read_timeout_seconds, self.aws.connect_timeout_seconds)
        if slowest >= heartbeat:
            problems.append(
                f"[aws] read_timeout_seconds and connect_timeout_seconds (the longer is"
                f" {slowest:g}) must be under a sixth of [queue] visibility_timeout_seconds"
                f" ({heartbeat:g}): a heartbeat that times out must leave time for the next"
            )
        backoff, requeue = self.runs.backoff_max_seconds, self.sweeper.requeue_after_seconds
        if backoff >= requeue:
            problems.append(
                f"[runs] backoff_max_seconds ({backoff:g}) must be under [sweeper]"
                f" requeue_after_seconds ({requeue:g}): a run in back-off is not lost"
            )
        ours = self.consumers.fleet_size * self.database.max_connections
        if self.busy_threads <= ours:
            problems.append(
                f"[database] busy_threads ({self.busy_threads}) must exceed [consumers] fleet_size"
                f" times [database] max_connections ({ours}): the server also counts fraudd's own"
                " statements"
            )
        if problems:
            raise ValueError("; and ".join(problems))
        return self

    @property
    def busy_threads(self) -> int:
        """The value of Threads_running above which the database server counts as busy."""
        # The least default is several times the cores of a server.
        ours = self.consumers.fleet_size * self.database.max_connections
        return self.database.busy_threads or max(_BUSY_THREADS, 2 * ours)

    @property
    def consumer_count(self) -> int:
        """The number of consumers. One more than permits, so that storing overlaps with reading."""
        return self.consumers.count or self.database.max_connections + 1
