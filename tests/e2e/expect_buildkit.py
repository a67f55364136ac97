"""What each row of the scenario suite does on BuildKit, where only RUN, COPY, ADD and WORKDIR are steps.

Taken from a buildkitd that kept its cache (0.34.2), by plain `docker buildx build`; letters as in Row.expect.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

EXPECT: Final[Mapping[str, str]] = MappingProxyType(
    {
        # stages
        "stages on stages": "h mm m",
        "stages on stages, nothing changed": "h hh h",
        "a diamond, nothing changed": "h hh hh hhh",
        "a diamond, one side changes": "h mm hh MMM",
        "a stage changes, what is copied from it stays the same": "mm HH",
        "a stage changes, and what is copied from it": "mm MM",
        "a stage that is not needed changes": "- h",
        "--from a stage by its number": "m M",
        "a stage is renamed": "h hh",
        "a stage comes before the others": "m h mm",
        "--from an image": "hm",
        "FROM scratch": "h hm",
        "an image argument in FROM": "h",
        "--target, a stage in the middle": "h mm -",
        "--target goes to another stage": "h hh m",
        "ONBUILD of a stage that is built on": " mmm",
        "ONBUILD of a stage that is built on, in OCI's format, which has none": " hh",
        "FROM --platform": "hm",
        # scope
        "ARG": "hmm",
        "an ARG that no step names": "m",
        "an ARG that is not declared": "h",
        "an ARG behind the steps": "h",
        "an ARG with a default": "m",
        "an ARG before FROM, not declared in the stage": "h",
        "an ARG before FROM, declared again": "m",
        "a default that names another ARG": "m",
        "an ENV of the same name hides an ARG": "h",
        "an ARG in the scope of one stage only": "- h",
        "two ARG in one line": "m",
        "an ARG declared twice": "mm",
        "a RUN in exec form": "m",
        "an ARG in ENV": "m",
        "an ARG in WORKDIR": "mm",
        "an ARG in LABEL": "",
        "an ARG in USER": "",
        "an ARG in a COPY destination": "m",
        "an argument that is not given any more": "m",
        "a default changes": "m",
        "a default that is overridden changes": "h",
        "the default of an ARG before FROM changes": "m",
        "an ARG without any value gets one": "m",
        "an empty value is a value": "m",
        "a default that names an ENV": "hm",
        "an ENV of the stage below does not hide an ARG": " m",
        "an ARG is declared that nobody uses": "h",
        "a value with a blank": "m",
        "a proxy argument that is not declared": "hh",
        "a proxy argument that is declared": "m",
        "a platform argument": "h",
        "ENV that a later step uses": "hm",
        "an ENV in a COPY source": "m",
        # options
        "--label": "h",
        "--label changes": "h",
        "--no-cache": "mm",
        "--build-context, a folder": "mm",
        "--build-context, another file of the folder changes": "hh",
        "--build-context, an image": "hm",
        "FROM a named context": "hm",
        "--platform is named, as it is": "h",
        "RUN --network": "hm",
        "a bind mount, a file becomes executable": "m",
        "a bind mount of the context": "mm",
        "a bind mount of the context, unchanged": "hh",
        "a bind mount of a stage": "h hhm",
        "a bind mount of a stage that changes": "m MM",
        "a cache mount": "hm",
        "a tmpfs mount": "hm",
        "a secret, whose content never counts": "hh",
        "a mount is changed": "m",
        "COPY of a heredoc": "mm",
        "a heredoc stays the same": "hhm",
        "RUN of a heredoc": "mm",
        # copy
        "a file changes": "hmm",
        "another file changes": "hhh",
        "a file in a folder changes": "hmm",
        "a file is written anew with the same content": "hhh",
        "a file becomes executable": "hmm",
        "a file in a folder is renamed": "hmm",
        "a file moves in a tree": "hmm",
        "an empty folder comes": "hmm",
        "a file comes": "hmm",
        "a file goes": "hmm",
        "the mode of the copied folder itself": "hmm",
        "the mode of a folder inside": "hmm",
        "the whole context": "hmm",
        "setuid, which is not taken over": "hhh",
        "the sticky bit": "hmm",
        "ADD of a file": "hmm",
        "ADD of a folder": "hmm",
        "a wildcard, a file that matches comes": "hmm",
        "a wildcard, a file that does not match comes": "hhh",
        "a wildcard over folders": "hmm",
        "several sources": "hmm",
        "the source is a link whose target changes": "hmm",
        "the source is a link to another file of the same content": "hhh",
        "the source is a link to a folder": "hmm",
        "a link inside a tree points elsewhere": "hmm",
        "a link inside a tree stays, its target changes": "hhh",
        "a link that points nowhere": "hmm",
        "a hard link inside a tree": "hhh",
        "a hard link to what is not copied": "hhh",
        "ADD of an archive with another content": "hmm",
        "ADD of an archive that is packed again": "hmm",
        "COPY of an archive that is packed again": "hmm",
        "ADD of compressed data that is no archive": "hmm",
        "--chown": "hmm",
        "--chmod hides a mode": "hmm",
        "--chown changes": "mm",
        "--chown by another name for the same user": "hh",
        "--chmod changes": "mm",
        "a source is renamed, the destination names a file": "mm",
        "a source is renamed, the destination is a folder": "mm",
        "a source is renamed, the destination is a folder that a step before made": "hmm",
        "a folder is named in another way": "hh",
        "the destination changes": "mm",
        "another owner on the host": "h",
        "another owner on the host, but --chown": "h",
        "--exclude": "mm",
        "--parents": "mm",
        "--link": "hmm",
        "COPY in JSON form": "hh",
        # ignore files
        "an ignored file changes": "hh",
        "an ignored file comes": "hh",
        "a file that is not ignored changes": "mm",
        "a file that a ! takes back changes": "mm",
        "a file beside one that a ! takes back": "hh",
        "** at any depth": "hh",
        "a wildcard within a name": "hh",
        "a question mark": "hh",
        "a rule that only the top level matches": "mm",
        "comments and blank lines in the ignore file": "hh",
        ".containerignore wins": "mm",
        "an ignore file of the Dockerfile's own": "hh",
        "the ignore file changes and hides the same": "hh",
        "the ignore file changes and hides more": "mm",
        "the Dockerfile itself is copied": "mm",
        "another Dockerfile, by -f": "h",
        # instructions
        "every instruction": "hhhhh",
        "the last of many changes": "hhhhh",
        "a copied file changes in the midst of many": "hmmmm",
        "LABEL": "hh",
        "LABEL gets another key": "hh",
        "ENV": "hm",
        "WORKDIR": "hmm",
        "USER": "hm",
        "EXPOSE": "hh",
        "VOLUME": "hh",
        "STOPSIGNAL": "hh",
        "HEALTHCHECK": "hh",
        "SHELL": "hm",
        "MAINTAINER": "hh",
        "ENTRYPOINT": "hh",
        "CMD": "hh",
        "ONBUILD": "hh",
        "RUN in shell form": "hmm",
        "RUN in exec form": "hmm",
        "the case of a keyword": "hh",
        "blanks within an instruction": "hh",
        "the case of RUN, and comments and blank lines between and in instructions": "hh",
        "another indentation of a continued line": "mm",
        "lines end with CR LF": "h",
        "blanks behind an instruction": "hh",
        "instructions change places": "hm",
        "an instruction comes between": "hh",
        "an instruction goes": "hh",
        "an instruction is added at the end": "hm",
        "the last instruction goes": "h",
        "the escape character changes": "h",
        "RUN writes below a VOLUME": "hhm",
        "USER and WORKDIR before a COPY": "hmm",
        "FROM alone": "",
        "a step that is never the same": "hmm",
    }
)

KEPT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "the mode of the copied folder itself": "hhh",
        "the mode of a folder inside": "hhh",
    }
)
"""What a builder that kept its cache does otherwise: it kept the context too, and is not sent a folder anew of which
only the mode changed. An emptied one has the context as it is now."""

REFUSED_BY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {engine: frozenset({"--parents", "USER"}) for engine in ("docker-containerd", "docker-classic")}
)
"""Rows that the engine can't build, without us neither: Docker 28.5's own Dockerfile frontend lacks a flag that
BuildKit 0.34's has, and a RUN behind USER fails there where the image has no /etc/group, which the lab's busybox has
not."""

UNLIKE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"docker-classic": frozenset({"a step that is never the same"})}
)
"""Rows whose images differ by their nature: what keeps its cache there is the daemon's own builder, not ours, and each
has built once."""

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "--squash": "an option of Buildah",
        "--timestamp": "an option of Buildah",
        "a Containerfile, and an ignored file that a COPY does not reach": "BuildKit looks for Dockerfile only",
        "the last rule wins": "the file in question reaches BuildKit, but empty (tonistiigi/fsutil), whatever it holds",
    }
)
"""Rows that BuildKit can't have, and why."""
