"""Where on S3 the store lies, as `--store s3://BUCKET/PREFIX` names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from layercache_ci.errors import InputError
from layercache_ci.settings import S3Options

LAYOUT: Final = "lc1"
"""Of everything below the prefix: a layout that reads differently gets another one."""

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]|arn:[^/]+(/[^/]+)?")
_LONGEST_PREFIX: Final = 500
"""Bytes: a key of S3 has 1024, and the longest of ours some 420."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """A bucket and what is said about reaching it; `prefix` has no slash at its ends."""

    bucket: str
    prefix: str
    options: S3Options

    @classmethod
    def parse(cls, rest: str, options: S3Options) -> S3Settings:
        """Of what follows `s3:`. Raises InputError."""
        location = f"s3:{rest}"
        if not rest.startswith("//"):
            raise InputError(f"--store {location!r} is no place on S3: write s3://BUCKET or s3://BUCKET/PREFIX")
        bucket, _, prefix = rest[2:].partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise InputError(f"--store {location!r}: {bucket!r} is no bucket's name: write s3://BUCKET/PREFIX")
        prefix = prefix.strip("/")
        if len(prefix.encode()) > _LONGEST_PREFIX:
            raise InputError(f"--store {location!r}: the prefix is longer than {_LONGEST_PREFIX} bytes; shorten it")
        endpoint = options.endpoint
        if endpoint is not None and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", endpoint):
            raise InputError(f"--s3-endpoint: {endpoint!r} is no URL; write one like https://minio.example.com:9000")
        return cls(bucket, prefix, options)

    @property
    def location(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def base(self) -> str:
        """What every key begins with."""
        return f"{self.prefix}/{LAYOUT}/".lstrip("/")

    @property
    def path_style(self) -> bool:
        """A server that is not AWS's seldom has a host name for each bucket."""
        style = self.options.path_style
        return self.options.endpoint is not None if style is None else style
