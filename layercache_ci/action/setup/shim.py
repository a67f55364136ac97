"""What runs in the place of `docker`, `podman` or `buildah`: `python -I shim.py SETUP PROGRAM REAL ARGUMENT...`.

Whatever is wrong with us, the real program gets the command. So nothing of ours is imported before that is certain.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence


def main() -> int:
    """The exit code; or the real program in our place, with the arguments as they were given, or with what is left of
    them to do."""
    folder, program, real, *words = sys.argv[1:]
    started, environment = os.getpid(), dict(os.environb)
    if None in {sys.stdin, sys.stdout, sys.stderr}:  # closed: what we open would take its place
        return _in_our_place(real, words, environment)
    try:
        with open(f"{folder}/setup.json", encoding="utf-8") as file:  # noqa: PTH123 - a module less to load
            sys.path[:0] = json.load(file)["path"]
        from layercache_ci.action.setup.build import run  # noqa: PLC0415 - see above

        result = run(folder, program, words)
        if isinstance(result, int):
            return _flushed(result)
        words = [*result]
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        if os.getpid() != started:
            raise  # the process that saves
        sys.stderr.write(f"layercache: built without the cache: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    return _in_our_place(real, words, environment)


def _in_our_place(real: str, words: Sequence[str], environment: Mapping[bytes, bytes]) -> int:
    """The real program, without what we added to our environment, and with the signals that Python ignores."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    return os.execve(real, [real, *words], environment)  # noqa: S606 - an engine


def _flushed(code: int) -> int:
    """Who no longer reads our output changes nothing of what came of the build."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


if __name__ == "__main__":
    sys.exit(main())
