"""The snippets of docs/ci: YAML that can be read, inputs that there are, options that the command takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from layercache_ci.action.inputs import TABLE
from layercache_ci.cli import Parser
from layercache_ci.commands import build

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs/ci"
PAGES: Final = sorted(path.name for path in FOLDER.glob("*.md"))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (FOLDER / page).read_text(), re.MULTILINE | re.DOTALL)


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Each mapping in a document, however deep."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(item)


def commands(page: str) -> list[list[str]]:
    """The words after `layercache` of each command of a page."""
    lines = re.findall(r"^.*?\blayercache build (.*?)['\"]?$", "".join(blocks(page, "[a-z]+")), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_there_is_a_page_for_each_system() -> None:
    assert PAGES == ["github.md", "gitlab.md", "jenkins.md", "tekton.md", "woodpecker.md"]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_given_to_the_action_are_its_inputs(page: str) -> None:
    documents = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    ours = [found for found in mappings(documents) if "layercache-action" in str(found.get("uses", found.get("image")))]
    given = {name for step in ours for name in step.get("with", step.get("settings", {}))}
    assert given <= set(TABLE)
    assert given or commands(page)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "github.md"])
def test_what_is_given_to_the_command_are_its_options(page: str) -> None:
    parser = Parser()
    build.configure(parser)
    found = commands(page)
    assert found
    for words in found:
        assert parser.parse_args(words).context == "."
