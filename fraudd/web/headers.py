"""The headers of every answer."""

from collections.abc import MutableMapping

#: Nothing of the API is for a browser to interpret, keep, or name to others. What a handler sets
#: itself stays. https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
_DEFAULTS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Without it aiohttp tells its own version and Python's.
    "Server": "fraudd",
}


def complete(headers: MutableMapping[str, str], request_id: str) -> None:
    """Add what every answer carries."""
    headers["X-Request-Id"] = request_id
    for name, value in _DEFAULTS.items():
        if name not in headers:
            headers[name] = value
