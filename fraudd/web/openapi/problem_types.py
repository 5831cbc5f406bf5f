"""Every problem that an answer may be: its slug, its status, and when it happens."""

from typing import Final

#: Of a problem's ``type``; the slug follows.
URN: Final = "urn:fraudd:problem:"

TYPES: Final = {
    "not-json": (400, "the body is not JSON"),
    "malformed-request": (400, "not HTTP as it should be"),
    "token-in-url": (400, "a token in the URL ends up in logs; send it as a header"),
    "unauthenticated": (401, "no token, or one that is not known"),
    "scope-missing": (403, "the token's scopes do not allow this call"),
    "never-asked": (404, "no score of this entity was ever asked for"),
    "no-such-path": (404, "there is nothing at this path"),
    "method-not-allowed": (405, "`Allow` says which methods are"),
    "too-slow": (408, "headers or body were sent too slowly"),
    "body-too-large": (413, "the body is over 64 KiB"),
    "uri-too-long": (414, "the path and query are too long"),
    "unsupported-media-type": (415, "the body is not `application/json`"),
    "expectation-failed": (417, "`Expect` asks for what is not offered"),
    "invalid-field": (422, "`errors` has a JSON pointer and a remedy for each field"),
    "no-bulk-lane": (422, "a batch asks for a lane that this daemon has not"),
    "too-many-requests": (429, "the token's rate; see `Retry-After`"),
    "too-many-failures": (429, "the address failed to authenticate too often; see `Retry-After`"),
    "too-many-pending": (429, "as many runs are pending as may be; see `Retry-After`"),
    "headers-too-large": (431, "the headers are too large"),
    "internal": (500, "an error of fraudd's own; the log has it under the request's id"),
    "unavailable": (503, "something is out of reach; asking again is safe, see `Retry-After`"),
    "overloaded": (503, "too many requests at once; asking again is safe, see `Retry-After`"),
    "deadline": (503, "it took too long; asking again is safe, see `Retry-After`"),
    "not-ready": (503, "of `/readyz`: this daemon should get no requests now"),
    "poll-loop-stalled": (503, "of `/healthz`: this daemon should poll for messages, and does not"),
}
