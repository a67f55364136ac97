"""What the launcher starts on a runner: `python entrypoint.py main`, and `post` after the job's other steps.

Started without a word it is a plugin of Woodpecker or Drone.
"""

from __future__ import annotations

import sys


def run(stage: str) -> int:
    """The step's exit code."""
    if stage == "post":
        from layercache_ci.action.post import main  # noqa: PLC0415 - each stage loads its own
    elif stage == "plugin":
        from layercache_ci.action.plugin import main  # noqa: PLC0415
    else:
        from layercache_ci.action.main import main  # noqa: PLC0415
    return main()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1] if len(sys.argv) > 1 else "plugin"))
