"""What of act the tests of the Action lean on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import requests

from tests.lab.act import run_workflow, serve_act_cache

ACTION = """\
name: one
description: one
inputs: {fail: {description: whether, default: 'false'}}
outputs: {said: {description: words}}
runs: {using: node24, main: main.js, post: post.js}
"""
MAIN = """\
const fs = require('fs')
fs.appendFileSync(process.env.GITHUB_OUTPUT, `said=${process.env.GIVEN} ${process.env.VARIABLE}\\n`)
fs.appendFileSync(process.env.GITHUB_STEP_SUMMARY, `cache at ${process.env.ACTIONS_CACHE_URL}`)
process.exitCode = process.env.INPUT_FAIL === 'true' ? 1 : 0
"""
POST = "require('fs').appendFileSync(process.env.GITHUB_STEP_SUMMARY, 'afterwards')\n"
WORKFLOW = """\
on: push
jobs:
  one:
    strategy: {matrix: {name: [x, y]}}
    runs-on: ubuntu-latest
    env: {VARIABLE: '${{ vars.VARIABLE }} ${{ matrix.name }}'}
    steps:
      - uses: actions/checkout@v6
      - {id: good, uses: ./}
      - {id: bad, uses: ./, with: {fail: true}, continue-on-error: true}
  two:
    needs: one
    runs-on: ubuntu-latest
    steps: [{id: wrong, run: exit 3}, {id: never, run: exit 0}]
"""


def _repository(folder: Path) -> Path:
    for name, content in {"action.yml": ACTION, "main.js": MAIN, "post.js": POST, "w.yml": WORKFLOW}.items():
        (folder / name).write_text(content)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for arguments in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message=x")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder / "w.yml"


def test_outputs_summaries_results_and_the_post_step_are_seen(tmp_path: Path) -> None:
    ran = run_workflow(
        _repository(tmp_path), tmp_path, os.environ, given={"GIVEN": "a"}, variables={"VARIABLE": "b"},
        matrix={"name": "x"},
    )  # fmt: skip
    assert ran.code != 0, ran.shown
    assert ran.outputs("one", "good") == {"said": "a b x"}
    assert ran.summary("one", "good").startswith("cache at http://127.0.0.1:")
    assert ran.summary("one", "good", "Post") == "afterwards"
    assert [ran.result("one", "good"), ran.result("one", "bad"), ran.result("one", "bad", "Post")] == [
        "success", "failure", "success",
    ]  # fmt: skip
    assert ran.result("two", "wrong") == "failure"
    assert ran.result("two", "never") is None


def test_its_cache_is_served_without_a_workflow_of_ours() -> None:
    with serve_act_cache() as given:
        url = f"{given['ACTIONS_CACHE_URL']}_apis/artifactcache/cache?keys=none&version={'0' * 64}"
        assert requests.get(url, timeout=10).status_code == 204
