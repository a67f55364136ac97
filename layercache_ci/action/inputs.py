"""The inputs of the action: the one table of them, and how each is written.

The names, syntax and defaults of `build-push-action` are docker's (its action.yml and context.ts, and getInputList of
docker's actions-toolkit), those of `buildah-build` are redhat-actions' own. action.yml and docs/inputs.md are made from
this table (documents.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from layercache_ci.action.csv_lists import LINE_END, records
from layercache_ci.errors import InputError
from layercache_ci.settings import BASE_IMAGES, MODES

Kind = Literal["text", "flag", "comma list", "list", "plain list", "words", "size", "choice"]
"""`comma list`: values by newline or comma, as CSV, a field that is alone in its line by comma once more; `list`: by
newline, as CSV, where a comma is a part of the value; `plain list`: by newline, where a quote is a part of it too;
`words`: by whitespace."""
Origin = Literal["build-push-action", "buildah-build", "layercache"]
Value = str | tuple[str, ...]

LISTS: Final = frozenset({"comma list", "list", "plain list", "words"})
FLAGS: Final = MappingProxyType(
    {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
)
"""The booleans of YAML 1.2's core schema, as GitHub's toolkit takes them."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input. `default` is what holds where it is not given, in words for people where it is no value."""

    name: str
    kind: Kind
    description: str
    origin: Origin
    default: str = ""
    choices: tuple[str, ...] = ()
    from_file: bool = True
    """Whether a `config` file may give it. That file comes with the code, which may be a stranger's: it says what is
    built, and how it is told of, but not what the build gets of the machine, nor where anything is sent."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was given, by name; what was not is not in `values`."""

    values: Mapping[str, Value] = field(default_factory=dict)

    def given(self, *names: str) -> bool:
        """Whether any of them was."""
        return any(self.values.get(name) for name in names)

    def text(self, name: str) -> str | None:
        """None where it was not given. Raises InputError for a choice that is none."""
        entry, value = TABLE[name], self.values.get(name)
        if isinstance(value, tuple):
            raise InputError(f"{name}: {', '.join(value)!r} is a list; give one value")
        if value and entry.choices and value not in entry.choices:
            raise InputError(f"{name}: {value!r} is none of its values; write {', '.join(entry.choices)}")
        return value or None

    def flag(self, name: str) -> bool:
        """Raises InputError for what is neither true nor false."""
        value = self.text(name)
        if value is None:
            return TABLE[name].default == "true"
        if value not in FLAGS:
            raise InputError(f"{name}: {value!r} is neither true nor false; write true or false")
        return FLAGS[value]

    def check(self) -> Inputs:
        """The same. Raises InputError for the first flag or choice that is none: a build is too long to wait for it."""
        for entry in INPUTS:
            if entry.kind == "flag":
                self.flag(entry.name)
            elif entry.kind not in LISTS:
                self.text(entry.name)
        return self

    def list(self, name: str) -> tuple[str, ...]:
        """The values of any kind of list. Raises InputError, without the text: it may be a secret."""
        value = self.values.get(name, "")
        try:
            return value if isinstance(value, tuple) else tuple(_split(value, TABLE[name].kind))
        except ValueError as error:
            advice = 'close it; within quotes a quote is written ""'
            raise InputError(f"{name}: {error}; {advice}") from error

    def lines(self, name: str) -> tuple[str, ...]:
        """The values of a list that is written by newline only, whatever its own kind is."""
        value = self.values.get(name, "")
        return value if isinstance(value, tuple) else tuple(_split(value, "plain list"))

    def words(self, name: str) -> tuple[str, ...]:
        """The values of a list that is written by whitespace, whatever its own kind is."""
        value = self.values.get(name, "")
        return value if isinstance(value, tuple) else tuple(value.split())


def read_inputs(environment: Mapping[str, str]) -> Inputs:
    """As the runner gives them: in `INPUT_` and the name in upper case, hyphens kept; or with `_` for each of those,
    which is how they come through a shell. What is empty is not given."""
    found = {entry.name: _given(entry.name, environment) for entry in INPUTS}
    return Inputs({name: value for name, value in found.items() if value})


def for_shells(environment: Mapping[str, str]) -> dict[str, str]:
    """The same environment with the inputs under names that a shell hands on, too."""
    found = {variable(entry.name).replace("-", "_"): _given(entry.name, environment) for entry in INPUTS}
    return {**environment, **{name: value for name, value in found.items() if value}}


def _given(name: str, environment: Mapping[str, str]) -> str:
    exact = variable(name)
    return (environment.get(exact) or environment.get(exact.replace("-", "_")) or "").strip()


def variable(name: str) -> str:
    """The variable of the environment in which the runner gives that input."""
    return f"INPUT_{name.replace(' ', '_').upper()}"


def _split(text: str, kind: Kind) -> Iterator[str]:
    """Values as docker's getInputList has them. Raises ValueError for a quote that is not closed."""
    if kind == "words":
        yield from text.split()
    elif kind == "plain list":
        yield from filter(None, map(str.strip, LINE_END.split(text)))
    else:
        for record in records(text):
            values = record if kind == "comma list" else [",".join(record)]
            if kind == "comma list" and len(record) == 1:
                values = record[0].split(",")
            yield from filter(None, map(str.strip, values))


def _docker(name: str, kind: Kind, description: str, default: str = "", *, from_file: bool = True) -> Input:
    return Input(name, kind, description, "build-push-action", default, from_file=from_file)


def _buildah(name: str, kind: Kind, description: str, default: str = "", *, from_file: bool = True) -> Input:
    return Input(name, kind, description, "buildah-build", default, from_file=from_file)


def _own(
    name: str,
    kind: Kind,
    description: str,
    default: str = "",
    choices: tuple[str, ...] = (),
    *,
    from_file: bool = True,
) -> Input:
    return Input(name, kind, description, "layercache", default, choices, from_file)


INPUTS: Final[tuple[Input, ...]] = (
    _docker("add-hosts", "comma list", "Lines for /etc/hosts of RUN steps, as name:ip"),
    _docker("allow", "comma list", "Entitlements of the build, like network.host (BuildKit)", from_file=False),
    _docker("annotations", "list", "Annotations of the image"),
    _docker("attests", "list", "Attestations, like type=sbom,generator=image (BuildKit)"),
    _docker("build-args", "list", "Build arguments, as NAME=value"),
    _docker("build-contexts", "list", "Named build contexts, as name=path", from_file=False),
    _docker("builder", "text", "The buildx builder to build with", "the current one", from_file=False),
    _docker("cache-from", "list", "A cache of buildx's own, beside that of layercache", from_file=False),
    _docker("cache-to", "list", "The same, to write; type=gha gets repository and github-token", from_file=False),
    _docker("call", "text", "What to do instead of building, like check (BuildKit)", "build"),
    _docker("cgroup-parent", "text", "The parent cgroup of RUN steps", from_file=False),
    _docker(
        "context",
        "text",
        "The build context: a folder, or a git or http URL",
        "the run's commit; the workspace with image or containerfiles, and where the run has no repository",
    ),
    _docker("file", "text", "The Dockerfile", "Dockerfile in the context; of Podman and Buildah Containerfile first"),
    _docker("labels", "list", "Labels of the image, as name=value"),
    _docker("load", "flag", "Leave the image in the Docker daemon; Podman and Buildah always have it", "false"),
    _docker("network", "text", "The network of RUN steps", from_file=False),
    _docker("no-cache", "flag", "Use no cache; what is built is saved all the same", "false"),
    _docker("no-cache-filters", "comma list", "Stages for which no cache is used (BuildKit)"),
    _docker("outputs", "plain list", "Where the result goes, as type=local,dest=path", from_file=False),
    _docker("platforms", "comma list", "Platforms to build for; each has a cache of its own", "the runner's"),
    _docker(
        "provenance",
        "text",
        "The provenance attestation: true, false or its attributes (BuildKit)",
        "mode=max in public repositories, else mode=min; none with load",
    ),
    _docker("pull", "flag", "Always look for newer base images", "false"),
    _docker("push", "flag", "Push the image to its registry", "false", from_file=False),
    _docker("sbom", "text", "The SBOM attestation: true, false or its attributes (BuildKit)"),
    _docker("secrets", "list", "Secrets for RUN --mount=type=secret, as id=value", from_file=False),
    _docker("secret-envs", "comma list", "The same from variables of the environment, as id=VARIABLE", from_file=False),
    _docker("secret-files", "list", "The same from files, as id=path", from_file=False),
    _docker("shm-size", "text", "The size of /dev/shm in RUN steps"),
    _docker("ssh", "comma list", "SSH agents or keys for RUN --mount=type=ssh, as default or id=path", from_file=False),
    _docker(
        "tags",
        "comma list",
        "Names of the image; with image or containerfiles bare tags, by whitespace",
        from_file=False,
    ),
    _docker("target", "text", "The stage to build"),
    _docker("ulimit", "list", "Limits of RUN steps, as name=soft:hard"),
    _docker(
        "github-token",
        "text",
        "Reads git repositories of the run's own host, writes the comment, and is for cache-to",
        "the job's own",
        from_file=False,
    ),
    _buildah(
        "image",
        "text",
        "The name of the image; with it or containerfiles, inputs are meant as buildah-build's",
        from_file=False,
    ),
    _buildah("containerfiles", "plain list", "The Containerfiles; several are put together"),
    _buildah("dockerfiles", "plain list", "The same as containerfiles"),
    _buildah("arch", "text", "The architecture to build for", "the runner's"),
    _buildah("archs", "comma list", "The same for one or more architectures"),
    _buildah("platform", "text", "The platform to build for", "the runner's"),
    _buildah("oci", "flag", "Write the image in OCI's format, not in Docker's", "false"),
    _buildah("tls-verify", "flag", "Check the certificates of registries", "true", from_file=False),
    _buildah("extra-args", "words", "Options for buildah build", from_file=False),
    _buildah("layers", "text", "Accepted: layers are always kept, or nothing could be cached"),
    _buildah("squash", "text", "Accepted: it only ever was for builds without a Containerfile"),
    _buildah("base-image", "text", "Refused without a Containerfile: write it as FROM"),
    _buildah("content", "plain list", "Refused without a Containerfile: write it as COPY"),
    _buildah("entrypoint", "plain list", "Refused without a Containerfile: write it as ENTRYPOINT"),
    _buildah("port", "plain list", "Refused without a Containerfile: write it as EXPOSE"),
    _buildah("workdir", "text", "Refused without a Containerfile: write it as WORKDIR"),
    _buildah("envs", "plain list", "Refused without a Containerfile: write it as ENV"),
    _buildah("buildah-image", "text", "Refused: install Buildah on the runner instead"),
    _own(
        "engine",
        "choice",
        "What builds",
        "auto: with image or containerfiles Buildah, else BuildKit where a Docker daemon answers, else Podman, Buildah",
        ("auto", "buildkit", "buildah", "podman"),
    ),
    _own(
        "setup",
        "flag",
        "Build nothing; the builds of the job's later steps are cached (docs/setup.md)",
        "false",
        from_file=False,
    ),
    _own(
        "store",
        "text",
        "Where the cache is kept: github, s3://BUCKET/PREFIX, local or local:DIR",
        "s3 where s3-bucket is given, else the job's cache service, else local",
        from_file=False,
    ),
    _own("s3-bucket", "text", "The same as store: s3://BUCKET/PREFIX, as BUCKET or BUCKET/PREFIX", from_file=False),
    _own("s3-endpoint", "text", "The URL of a server that is not AWS's (MinIO, R2, Ceph)", from_file=False),
    _own("s3-region", "text", "The region of the bucket", "what the AWS SDK finds", from_file=False),
    _own(
        "s3-path-style",
        "flag",
        "Name the bucket in the path, not in the host name",
        "true with s3-endpoint",
        from_file=False,
    ),
    _own("s3-role-arn", "text", "A role to assume", from_file=False),
    _own("s3-sse", "choice", "How the server is to encrypt", "", ("AES256", "aws:kms"), from_file=False),
    _own("s3-kms-key", "text", "The key of s3-sse: aws:kms", from_file=False),
    _own("s3-access-key-id", "text", "An access key", "what the AWS SDK finds", from_file=False),
    _own("s3-secret-access-key", "text", "Its secret", "what the AWS SDK finds", from_file=False),
    _own("s3-session-token", "text", "The token of a temporary access key", from_file=False),
    _own("scope", "text", "The scope to read and write", "the run's ref", from_file=False),
    _own("read-scope", "comma list", "Scopes to read too", "those of the base and the default branch", from_file=False),
    _own("mode", "choice", "What may be done to the cache", "read-write; a fork only reads", MODES, from_file=False),
    _own("max-size", "size", "The size limit of the store, like 10GB", "the store's own", from_file=False),
    _own(
        "tier", "text", "A folder, as DIR or DIR:SIZE, that keeps what a remote store gives and gets", from_file=False
    ),
    _own("cache-version", "text", "Change it to start with an empty cache"),
    _own("cache-base-images", "choice", "Whether to save base images' layers", "auto, which is true", BASE_IMAGES),
    _own(
        "summary",
        "choice",
        "How much the job summary says",
        "short; off where DOCKER_BUILD_SUMMARY is false, or DOCKER_BUILD_NO_SUMMARY true",
        ("off", "short", "full"),
    ),
    _own("comment", "flag", "Keep one comment on the pull request with the result", "false"),
    _own("fail-on-miss", "flag", "Fail a step whose build had to run a step that the cache should have had", "false"),
    _own("wait", "flag", "Save before the step ends, not while later steps run", "false"),
    _own(
        "keep-store",
        "flag",
        "Leave the image on the layers as they were restored, where later steps find it: faster (Podman, Buildah)",
        "true on GitHub's own runners, else false",
    ),
    _own("config", "text", "A YAML file that gives inputs; those of the workflow win", from_file=False),
)
TABLE: Final[Mapping[str, Input]] = MappingProxyType({entry.name: entry for entry in INPUTS})
