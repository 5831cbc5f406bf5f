"""Authentication: which token a request has, and whether it has the scope that the route needs."""

import ipaddress
import re

from aiohttp import web

from fraudd.ports import Clock
from fraudd.telemetry import log
from fraudd.web.problems import Problem
from fraudd.web.rate_limits import RateLimiter, network, slow_down
from fraudd.web.tokens import Scope, Tokens

#: Health checks have no token, and the document contains no data.
_PUBLIC_ROUTES = frozenset({"/healthz", "/readyz", "/openapi.json", "/"})
_SCOPE_OF_METHOD: dict[str, Scope] = {"POST": "request", "DELETE": "admin"}


_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
#: A ``Host`` header: an IPv6 address or another host, and a port.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::[0-9]*)?")
#: Names under which clients send tokens in URLs. The first is from RFC 6750.
_TOKEN_KEYS = frozenset({"access_token", "token", "api_key", "apikey"})
#: Ten failed authentications of an address are a mistake. Many more are an attack.
_FAILURES_BURST, _FAILURES_PER_SECOND = 10, 1.0


def needed_scope(method: str, route: str | None) -> Scope | None:
    """Return the scope that a request needs, or None if it needs no token.

    ``route`` is the path of the matching route, for example ``/v1/predictions/{entity_id}``. It is
    None if no route matches.
    """
    if route in _PUBLIC_ROUTES:
        return None
    return _SCOPE_OF_METHOD.get(method, "read")


class Authenticator:
    """Authenticates requests, and slows down an address that fails too often."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = RateLimiter(per_second=_FAILURES_PER_SECOND, burst=_FAILURES_BURST)

    def authenticate(
        self, request: web.Request, tokens: Tokens, scope: Scope, request_id: str
    ) -> str:
        """Check the token of a request and return its name. Raises ``Problem`` 401, 403, or 429."""
        headers = request.headers.getall("Authorization", [])
        bearer = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        token = tokens.find(bearer[1]) if bearer is not None else None
        if token is not None and scope in token.scopes:
            return token.name
        if token is not None:
            log.warning(
                "http.forbidden",
                request_id=request_id,
                token=token.name,
                scope=scope,
                address=request.remote,
            )
            raise Problem(
                "scope-missing",
                f"token '{token.name}' lacks the scope '{scope}';"
                " add it to the token's line in the token file",
                headers={"WWW-Authenticate": _challenge(error="insufficient_scope", scope=scope)},
            )
        if not headers:
            error = "no token"
        elif bearer is None:
            error = "the Authorization header is not one bearer token"
        else:
            error = "unknown token"
        raise self._authentication_failed(request, error, request_id)

    def _authentication_failed(self, request: web.Request, error: str, request_id: str) -> Problem:
        """Log a failed authentication, up to the limit of the address.

        Above the limit the problem is 429. A valid token is still admitted, because the clients
        behind a proxy share one address.
        """
        if seconds := self._failures.take(network(request.remote), self._clock.monotonic()):
            detail = "too many requests without a valid token"
            return slow_down("too-many-auth-failures", detail, seconds)
        log.warning(
            "http.unauthenticated", request_id=request_id, error=error, address=request.remote
        )
        attributes = {} if error == "no token" else {"error": "invalid_token"}
        return Problem(
            "unauthenticated",
            f"{error}; send 'Authorization: Bearer TOKEN' with a token of this daemon",
            headers={"WWW-Authenticate": _challenge(**attributes)},
        )


def is_loopback(host: str | None) -> bool:
    """Whether a ``Host`` header names this machine. Browsers always send one."""
    if host is None:
        return True
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = (match[1] or match[2]).lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def reject_token_in_url(request: web.Request) -> None:
    """Raise ``Problem`` 400 if the query contains a token."""
    if request.query_string and not _TOKEN_KEYS.isdisjoint(request.query):
        raise Problem(
            "token-in-url",
            "the URL contains a token, and URLs are stored in logs. Send it as"
            " 'Authorization: Bearer TOKEN', and replace the leaked token.",
        )


def _challenge(**attributes: str) -> str:
    """Write the ``WWW-Authenticate`` header (RFC 6750, section 3)."""
    return ", ".join(
        ['Bearer realm="fraudd"', *(f'{key}="{value}"' for key, value in attributes.items())]
    )
