"""Every problem type: its slug, status, title, cause, and what a client does about it.

``docs/problems.md`` is generated from this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from fraudd import DOCS_URL

#: The ``type`` of every problem begins with this URL, and its slug follows.
PROBLEMS_URL: Final = f"{DOCS_URL}problems/#"

Action = Literal["fix", "retry", "give up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One problem type."""

    status: int
    title: str
    #: When the problem happens.
    cause: str
    #: The reaction of a client: fix the request, retry it as it is, or give up.
    action: Action
    remedy: str
    #: The header that every response of this type has.
    header: Literal["Allow", "Retry-After", "WWW-Authenticate"] | None = None


def type_url(slug: str) -> str:
    """Return the ``type`` of a problem: the URL of its description."""
    return f"{PROBLEMS_URL}{slug}"


PROBLEM_TYPES: Final[Mapping[str, ProblemType]] = MappingProxyType(
    {
        "not-json": ProblemType(
            status=400,
            title="Body is not JSON",
            cause="The request body is not valid JSON.",
            action="fix",
            remedy="Send valid JSON. The `detail` says where parsing failed.",
        ),
        "malformed-request": ProblemType(
            status=400,
            title="Request is not valid HTTP",
            cause="The request is not valid HTTP/1.1, or the body does not match its headers.",
            action="fix",
            remedy="Check the client or the proxy that builds the request.",
        ),
        "wrong-host": ProblemType(
            status=421,
            title="Host is not this daemon",
            cause="The daemon requires no tokens, and `Host` is neither `localhost` nor a loopback"
            " address. A web page could send such a request from a browser on this machine.",
            action="fix",
            remedy="Call the daemon at `127.0.0.1` or `localhost`. A proxy must send one of them"
            " as `Host`. Or set `[http] tokens_credential`.",
        ),
        "token-in-url": ProblemType(
            status=400,
            title="Token in the URL",
            cause="The query contains a token. URLs are stored in logs and browser histories.",
            action="fix",
            remedy="Send the token as `Authorization: Bearer TOKEN`. Replace the leaked token.",
        ),
        "unauthenticated": ProblemType(
            status=401,
            title="Valid token required",
            cause="The request has no token, or a token that this daemon does not know.",
            action="fix",
            remedy="Send a token from the token file as `Authorization: Bearer TOKEN`.",
            header="WWW-Authenticate",
        ),
        "scope-missing": ProblemType(
            status=403,
            title="Token lacks the scope",
            cause="The token is valid, but it lacks the scope that this operation needs.",
            action="fix",
            remedy="Use a token with the scope, or add the scope to the token's line"
            " in the token file.",
            header="WWW-Authenticate",
        ),
        "no-prediction": ProblemType(
            status=404,
            title="No prediction for this entity",
            cause="No score was requested for this entity, or its record has expired.",
            action="fix",
            remedy="Request a score with `POST /v1/predictions`.",
        ),
        "no-such-path": ProblemType(
            status=404,
            title="Unknown path",
            cause="The API has no such path.",
            action="fix",
            remedy="See `GET /openapi.json` for all paths.",
        ),
        "method-not-allowed": ProblemType(
            status=405,
            title="Method not allowed",
            cause="The path exists, but it does not support this method.",
            action="fix",
            remedy="Use a method that the `Allow` header lists.",
            header="Allow",
        ),
        "slow-request": ProblemType(
            status=408,
            title="Request arrived too slowly",
            cause="The headers or the body took longer than 10 seconds to arrive.",
            action="retry",
            remedy="Retry the request. If it happens often, check the network.",
        ),
        "body-too-large": ProblemType(
            status=413,
            title="Body too large",
            cause="The request body is larger than 64 KiB.",
            action="fix",
            remedy="Send a smaller body. A batch may contain up to 100 entities.",
        ),
        "uri-too-long": ProblemType(
            status=414,
            title="URL too long",
            cause="The path and the query are longer than 4,096 bytes.",
            action="fix",
            remedy="Send a shorter URL.",
        ),
        "unsupported-media-type": ProblemType(
            status=415,
            title="Body must be application/json",
            cause="The body has another `Content-Type`, or it has a `Content-Encoding`.",
            action="fix",
            remedy="Send uncompressed JSON with `Content-Type: application/json`.",
        ),
        "expectation-failed": ProblemType(
            status=417,
            title="Unsupported Expect header",
            cause="The `Expect` header is not `100-continue`.",
            action="fix",
            remedy="Remove the header, or send `Expect: 100-continue`.",
        ),
        "invalid-field": ProblemType(
            status=422,
            title="Invalid field",
            cause="A field of the body, the query, or the path is invalid.",
            action="fix",
            remedy="Read `errors`: it has a JSON pointer and a remedy for each invalid field.",
        ),
        "no-bulk-lane": ProblemType(
            status=422,
            title="No bulk lane",
            cause="The batch names the bulk lane, but this daemon has none.",
            action="fix",
            remedy="Omit `lane`, or ask the operator to set `[queue] bulk_url`.",
        ),
        "too-many-requests": ProblemType(
            status=429,
            title="Rate limit exceeded",
            cause="The token, or the address if there are no tokens, exceeded"
            " `[http] requests_per_second`.",
            action="retry",
            remedy="Retry after the seconds in `Retry-After`.",
            header="Retry-After",
        ),
        "too-many-auth-failures": ProblemType(
            status=429,
            title="Too many failed authentications",
            cause="This address sent too many requests without a valid token.",
            action="fix",
            remedy="Send a valid token. It is accepted immediately.",
            header="Retry-After",
        ),
        "too-many-pending": ProblemType(
            status=429,
            title="Too many pending runs",
            cause="The number of pending runs in this lane has reached `[http] max_pending`.",
            action="retry",
            remedy="Retry after the seconds in `Retry-After`.",
            header="Retry-After",
        ),
        "headers-too-large": ProblemType(
            status=431,
            title="Headers too large",
            cause="The request has over 64 headers, a header over 8,190 bytes, or over 32 KiB"
            " of headers in total.",
            action="fix",
            remedy="Send fewer or smaller headers. Cookies are not needed.",
        ),
        "record-unreadable": ProblemType(
            status=500,
            title="Record cannot be read",
            cause="The table has a record of this entity that this version of fraudd cannot read."
            " Other entities are not affected.",
            action="give up",
            remedy="Report it. An operator can correct the record, or delete it with"
            " `DELETE /v1/predictions/{entity_id}`.",
        ),
        "refused-by-aws": ProblemType(
            status=500,
            title="AWS refuses the data",
            cause="AWS refuses to store or send the data of this entity. Other entities are not"
            " affected.",
            action="give up",
            remedy="Report it. The `detail` and the log have the reason that AWS gives.",
        ),
        "internal": ProblemType(
            status=500,
            title="Internal error",
            cause="A bug in fraudd. The log contains the traceback and the request ID.",
            action="give up",
            remedy="Report the `X-Request-Id` of the response to the operator.",
        ),
        "unavailable": ProblemType(
            status=503,
            title="Dependency unavailable",
            cause="AWS is unreachable, or the daemon's clock is wrong.",
            action="retry",
            remedy="Retry after the seconds in `Retry-After`. Retrying is safe.",
            header="Retry-After",
        ),
        "overloaded": ProblemType(
            status=503,
            title="Daemon overloaded",
            cause="This daemon has too many requests in flight, or too many connections.",
            action="retry",
            remedy="Retry after the seconds in `Retry-After`. Retrying is safe.",
            header="Retry-After",
        ),
        "timeout": ProblemType(
            status=503,
            title="Response took too long",
            cause="fraudd could not respond within 10 seconds, because DynamoDB or SNS is slow.",
            action="retry",
            remedy="Retry after the seconds in `Retry-After`. Retrying is safe.",
            header="Retry-After",
        ),
        "not-ready": ProblemType(
            status=503,
            title="Daemon not ready",
            cause="Returned by `/readyz` if DynamoDB is unreachable, if the clock of the machine is"
            " wrong, or if the daemon is stopping. The `detail` says which.",
            action="retry",
            remedy="Send requests to another daemon until this one is ready.",
        ),
        "poll-loop-stalled": ProblemType(
            status=503,
            title="Poll loop stalled",
            cause="Returned by `/healthz` if the poll loop has stalled. This daemon receives"
            " no messages.",
            action="give up",
            remedy="Restart the daemon. Under systemd the watchdog does this.",
        ),
    }
)
