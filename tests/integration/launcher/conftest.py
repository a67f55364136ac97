"""Runners of several kinds, and Pythons for them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.launcher.sites import ENTRYPOINT, Site, put_python
from tests.lab.paths import CHECKOUT, LabPaths
from tests.lab.programs import find_program


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with pip, and no package of ours."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin/python"


@pytest.fixture(scope="module")
def pipless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without pip, as Ubuntu's is where nobody added it."""
    folder = tmp_path_factory.mktemp("pipless")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin/python"


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """A runner whose PATH is empty."""
    node = find_program("node", LabPaths.here())
    if node is None:
        raise RuntimeError("node is not in the lab: make lab sets it up")
    site = Site(tmp_path, str(node))
    for name in ("launcher", "requirements"):
        shutil.copytree(CHECKOUT / name, site.action / name)
    (site.action / "entrypoint.py").write_text(ENTRYPOINT)
    (tmp_path / "bin").mkdir()
    # nothing of it may decide what is installed, or run
    for module in ("pip/__init__.py", "json.py", "importlib/__init__.py", "requests.py"):
        path = site.checkout / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise SystemExit('a file of the checkout was run')\n")
    (site.checkout / "pyproject.toml").write_text('[tool.uv]\nrequired-version = "==0.0.1"\n')
    return site


@pytest.fixture
def site(bare: Site, python: Path) -> Site:
    """A runner that has a Python with pip on its PATH."""
    put_python(bare.folder / "bin/python3", python)
    return bare
