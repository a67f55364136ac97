"""action.yml's inputs and outputs, and docs/inputs.md, made from the tables: `python -m layercache_ci.action.documents
--write`. A test holds both against the tables."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Final

from layercache_ci.action.inputs import INPUTS, Input
from layercache_ci.action.outputs import OUTPUTS
from layercache_ci.errors import InputError

ROOT: Final = Path(__file__).resolve().parent.parent.parent
ACTION: Final = ROOT / "action.yml"
PAGE: Final = ROOT / "docs/inputs.md"
BEGIN: Final = "# made by python -m layercache_ci.action.documents --write, from here\n"
END: Final = "# to here\n"
ORIGINS: Final = {
    "build-push-action": "As docker/build-push-action has them",
    "buildah-build": "As redhat-actions/buildah-build has them",
    "layercache": "Of layercache",
}
SYNTAX: Final = {
    "comma list": "list, by comma or newline",
    "list": "list, by newline",
    "plain list": "list, by newline",
    "words": "list, by whitespace",
    "flag": "true or false",
}
HEAD: Final = """\
# Inputs and outputs
Made from the tables in layercache_ci/action by `python -m layercache_ci.action.documents --write`.

An input that is left out, or empty, has its default. Lists are CSV as in build-push-action: a value in double quotes
may hold newlines, and `""` is a quote in it; a quote that is not closed is an error. With `image`, `containerfiles` or
`dockerfiles` given, `tags` are bare tags that are joined to `image`, and `labels` and `build-args` are lines without
quotes, as in buildah-build. Where none of the three is, `arch`, `archs`, `platform` and `extra-args` are errors: they
would change nothing.

Where no `context` is named, and for `{{defaultContext}}`, the run's commit is built and nothing else, as with
build-push-action: no `.git`, nothing that earlier steps made or changed, of a pull request the commit that GitHub
merged for the run. For files of earlier steps write `context: .`, which is the workspace. Where the workspace holds a
checkout of that commit, its files are taken from there, into a folder that is removed in the end, and the build is
cached. Else the engine fetches the commit, nothing is cached, and a line in the log says why: there is no checkout, it
is of another commit, it lacks files (a partial clone), or the commit has submodules. So it is with the build argument
`BUILDKIT_CONTEXT_KEEP_GIT_DIR`, and where there is no git. Runs without a repository (`GITHUB_REPOSITORY`), like those
of the image as a plugin, build the workspace.

Where the run's commit is built, BuildKit gets `github-token` for the run's own git host, as the secret
`GIT_AUTH_TOKEN.HOST`, and for no other that the Dockerfile may name. A secret for git that you give is in its place.

What BuildKit's checks find in the Dockerfile is an annotation at its line, as with build-push-action; the variable
`DOCKER_BUILD_CHECKS_ANNOTATIONS: false` leaves them out. `metadata` has them in any case, as `buildx.build.warnings`.

What differs from buildah-build: layers are always kept; several platforms are one build that leaves a manifest list,
without an image of its own for each, and `digest` and `imageid` are the list's digest then; builds without a
Containerfile are refused, and so is `buildah-image`.

On GitHub's own runners an image of Podman or Buildah stays on the layers as they were restored (`keep-store`), in a
storage of its own, and later steps find it by `CONTAINERS_STORAGE_CONF`, which is exported, beside the engine's other
images. What they pull and build goes there too. Where earlier steps have left containers, volumes, secrets or networks
in the engine's storage, which are not seen from there, the image is brought into that one. What does not have the
job's environment (`sudo`, another user, a Podman service that was started before) finds none of it: write
`keep-store: false`, and the image is copied into the engine's own storage. What is kept lies below `TMPDIR`, or
/var/tmp, or where `LAYERCACHE_SCRATCH` says. The post step gives it up, and the next build that restores something
removes it, as it does where a day has gone by.

A build for several platforms has the cache of each, which a job for one of them shares. Podman and Buildah build them
one after the other. On a builder of several nodes it is not cached: give each platform a job of its own there. For a
context that the engine fetches `cache-from` and `cache-to` are of use. A `cache-to` of `type=gha` gets the repository
and `github-token`, as with build-push-action, and so buildx's command line has the token while it builds.

`config` names a YAML file in the workspace whose keys are inputs. It comes with the code, which on a pull request may
be a stranger's. So it says what is built and how it is told of, but not what the build gets of the machine, where
anything is sent, or who may write. Its `context` lies in the workspace or is fetched without a key of the machine, its
Dockerfile lies there, neither begins with `-`, its `build-args` have their values there, and these inputs are only
taken from the workflow:

"""
SAVED: Final = """\

`seconds-saved` is the sum of what the steps that were restored took when they were built, less the time to restore
them, and never less than 0. A step of which no time is known counts for nothing. (What BuildKit reads of the cache it
reads while it builds, which is not counted.)

A step fails with the engine's exit code where the build does, with 2 for a wrong input, with 125 where the engine can't
be run, and with 1 where `fail-on-miss` says so. A fault of the cache is a warning.
"""


def action(text: str) -> str:
    """action.yml with the generated part anew. Raises InputError where it has no place for it."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise InputError(f"action.yml: it has no lines {BEGIN.strip()!r} and {END.strip()!r}; put them back")
    return head + begin + "\n".join([*_inputs(), *_outputs()]) + "\n" + end + tail


def page() -> str:
    """docs/inputs.md."""
    closed = [f"`{entry.name}`" for entry in INPUTS if not entry.from_file]
    parts = [HEAD, textwrap.fill(", ".join(closed), 120, break_on_hyphens=False), ".\n"]
    for origin, title in ORIGINS.items():
        parts.append(f"\n## {title}\n| input | what it is | default |\n|---|---|---|\n")
        parts += [_row(entry) for entry in INPUTS if entry.origin == origin]
    parts.append("\n## Outputs\n| output | what it is |\n|---|---|\n")
    parts += [f"| `{name}` | {text} |\n" for name, text in OUTPUTS.items()]
    return "".join([*parts, SAVED])


def _row(entry: Input) -> str:
    kind = f"one of {', '.join(entry.choices)}" if entry.choices else SYNTAX.get(entry.kind, "")
    told = f"{entry.description} ({kind})" if kind else entry.description
    return f"| `{entry.name}` | {told} | {entry.default} |\n"


def _inputs() -> list[str]:
    """No default but the token's is written there: an input that the runner fills in could not be told from one that
    was given, and would win over `config`."""
    lines = ["inputs:"]
    for entry in INPUTS:
        told = f"{entry.description} (default: {entry.default})" if entry.default else entry.description
        lines += [f"  {entry.name}:", f"    description: {_quoted(told)}", "    required: false"]
        if entry.name == "github-token":
            lines.append("    default: ${{ github.token }}")
    return lines


def _outputs() -> list[str]:
    lines = ["outputs:"]
    for name, text in OUTPUTS.items():
        lines += [f"  {name}:", f"    description: {_quoted(text)}"]
    return lines


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def main(arguments: list[str]) -> int:
    """Write both, or with no `--write` only say whether they are in step."""
    wanted = {ACTION: action(ACTION.read_text()), PAGE: page()}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if "--write" in arguments:
        for path in stale:
            path.write_text(wanted[path])
        return 0
    for path in stale:
        sys.stderr.write(f"{path.name} is not in step with the tables\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
