"""The HTTP server around aiohttp: connections, rejected requests, drain."""
