"""Asks the Go oracle (tests/oracle/*.go), which answers with BuildKit's own libraries."""

from __future__ import annotations

import fcntl
import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.programs import STRIPPED, run_go

HERE = Path(__file__).parent


class Refused(Exception):
    """The library under the oracle refuses this input; the text is its own."""


class Oracle:
    """One running oracle process; a context manager."""

    def __init__(self) -> None:
        # a program for each process: several may run the tests at once
        self._folder = tempfile.TemporaryDirectory(prefix="layercache-oracle-")
        program = f"{self._folder.name}/oracle"
        with Path(__file__).open() as guard:  # not go.mod: go locks that itself
            fcntl.flock(guard, fcntl.LOCK_EX)  # who comes second finds it compiled
            run_go("build", "-ldflags", STRIPPED, "-o", program, ".", cwd=HERE)
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    def ask(self, op: str, **request: Any) -> Any:
        """The oracle's answer. Raises Refused where the library refuses the input."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"op": op, **request}).encode() + b"\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer.get("ok")
