"""`layercache`, and `python -m layercache_ci`."""

from __future__ import annotations

import sys

from layercache_ci.cli import run


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
