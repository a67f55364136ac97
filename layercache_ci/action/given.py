"""What a step makes for its build alone, in its own folder: it is there as long as a process builds, which the one that
saves in the background does once more, and no longer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

SECRETS: Final = "secrets"
CONTEXT: Final = "context"
"""The commit that is built where no context is named."""


def remove_given(folder: Path) -> None:
    """From the folder of the step. A runner's temporary folder may stay from job to job."""
    for name in (SECRETS, CONTEXT):
        shutil.rmtree(folder / name, ignore_errors=True)
