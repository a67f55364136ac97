"""A faithful GitHub cache service for tests: protocol v2 and v1, its blob host, and the REST list of caches."""

from tests.fakes.github_cache.server import CacheServer, serve

__all__ = ["CacheServer", "serve"]
