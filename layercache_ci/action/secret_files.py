"""build-push-action's secrets as words for `--secret`: their values go by files that nobody else can read, never by a
command line, which any process may."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from layercache_ci.action.gha import secrets_of, without_secrets
from layercache_ci.action.inputs import Inputs
from layercache_ci.settings import without_credentials

GIT_SECRETS: Final = ("GIT_AUTH_TOKEN", "GIT_AUTH_HEADER")
"""By these names BuildKit's git source, since 0.8, looks for what to say to a host: first by each with `.` and the host
behind it, then by each alone (moby/buildkit, source/git/source.go, authSecretNames)."""
PRIVATE: Final = 0o600
CREDENTIALS: Final = ("github-token", "s3-secret-access-key", "s3-session-token")
LEAST: Final = 4
"""Letters of what is taken for a secret."""
CACHES: Final = ("cache-from", "cache-to")


@dataclass(slots=True)
class Secrets:
    """What `--secret` is to be given; `warnings` say what was left out."""

    folder: Path
    words: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, inputs: Inputs) -> None:
        """`secrets`, `secret-envs` and `secret-files`. A value that is empty, as that of a secret that a fork does not
        get, is a warning and no more, as in build-push-action."""
        for name, value in self._pairs(inputs, "secrets"):
            self.write(name, value)
        for name, variable in self._pairs(inputs, "secret-envs"):
            self.words.append(f"id={name},env={variable}")
        for name, path in self._pairs(inputs, "secret-files"):
            try:
                self._keep(name, Path(path).read_bytes())
            except OSError as error:
                self.warnings.append(f"secret-files: the secret {name} is left out: {path!r}: {error.strerror}")

    def add_git_token(self, token: str, host: str) -> None:
        """For one host, with its port where its URL has one: a Dockerfile may name any, and what it fetches from them
        is not to get it. What the user has given for git is in its place."""
        name = GIT_SECRETS[0]
        theirs = {f"id={each}" for known in GIT_SECRETS for each in (known, f"{known}.{host}")}
        if theirs.isdisjoint(word.partition(",")[0] for word in self.words):
            self.write(f"{name}.{host}", token)

    def write(self, name: str, value: str) -> None:
        self._keep(name, value.encode())

    def _keep(self, name: str, data: bytes) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        path = self.folder / str(len(self.words))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        self.words.append(f"id={name},src={path}")

    def _pairs(self, inputs: Inputs, name: str) -> list[tuple[str, str]]:
        pairs, words = [], inputs.list(name)
        # then it is lines of a secret, not quoted, and what stands before an = may be a part of it too
        torn = any("=" not in word for word in words)
        for number, word in enumerate(words, 1):
            key, _, value = word.partition("=")
            if key and value.strip("="):  # only = is how base64 ends
                pairs.append((key, value))
            else:
                shown = f"number {number}" if torn else repr(key)
                self.warnings.append(f"{name}: the secret {shown} is left out: it is not of the form id=value")
        return pairs


def masks(inputs: Inputs) -> tuple[str, ...]:
    """What must never be in a log."""
    given = (word.partition("=")[2] for word in inputs.list("secrets"))
    caches = (value for name in CACHES for word in inputs.list(name) for value in secrets_of(word))
    return tuple(filter(None, (*given, *(inputs.text(name) for name in CREDENTIALS), *caches)))


def masked(text: str, inputs: Inputs) -> str:
    """Text for a place where the runner hides nothing, with `***` for each secret and each line of one, as in its log.
    What is shorter is no secret, and would take letters out of all that is said."""
    lines = {line.strip() for secret in masks(inputs) for line in (secret, *secret.splitlines())}
    for line in sorted(lines, key=len, reverse=True):
        text = text.replace(line, "***") if len(line) >= LEAST else text
    return text


def shown(inputs: Inputs) -> dict[str, str]:
    """The inputs that were given, for people to see: no secrets, and no build arguments, which are often used as if
    they were some."""
    hidden = {*CREDENTIALS, "secrets", "s3-access-key-id", "build-args", "extra-args"}
    given = {name: value for name, value in inputs.values.items() if name not in hidden}
    texts = {name: value if isinstance(value, str) else ", ".join(value) for name, value in given.items()}
    return {name: without_credentials(without_secrets(text)) for name, text in texts.items()}
