"""The launcher as the runner starts it: real node, real pip, a package index."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.integration.launcher.sites import VERSION, Ran, Site, ended, put_python, warnings, without_python
from tests.lab.paths import CHECKOUT

NOWHERE: Final = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
"""No package can come from there."""


def test_the_first_time_installs_and_the_second_does_nothing(site: Site, python: Path) -> None:
    assert site.run(**NOWHERE).code == 1  # so that the second time proves something
    assert list(site.kept.iterdir()) == []
    cold = site.run(**{"INPUT_S3-REGION": "x"})
    assert cold.code == 0
    assert f"layercache: Python {VERSION}, 11 packages installed in " in cold.log
    assert cold.log.count("\n") == 1
    told = site.told
    assert (told["stage"], told["python"]) == ("main", str(python))
    assert told["environment"]["INPUT_S3-REGION"] == "x"
    assert Path(told["from"]).is_relative_to(site.kept)
    assert site.run(**NOWHERE) == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")


def test_what_a_release_brings_along_is_not_fetched(site: Site, python: Path) -> None:
    (site.action / "layercache_ci").mkdir()
    (site.action / "layercache_ci/one.py").write_text("")
    machines = ("x86_64", "aarch64")
    subprocess.run([site.node, site.action / "launcher/ship.js", python, *machines], check=True)
    brought = site.action / "packages"
    tag = sys.implementation.cache_tag
    assert {folder.name for folder in brought.iterdir()} == {f"{tag}-{machine}-linux-gnu" for machine in machines}
    assert all(len(list(folder.glob("*.dist-info"))) == 11 for folder in brought.iterdir())
    assert (site.action / f"layercache_ci/__pycache__/one.{tag}.pyc").is_file()
    assert site.run(**NOWHERE) == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")
    assert Path(site.told["from"]).is_relative_to(brought)
    assert not site.kept.exists()

    assert site.run(INPUT_COMMENT="true").code == 0  # of which it brings nothing
    assert {"cryptography", "pygithub"} <= {name.lower() for name in site.installed()}
    assert "requests" not in site.installed()
    assert Path(site.told["from"]).is_relative_to(brought)


@pytest.mark.parametrize("given", [{"INPUT_STORE": "s3://b"}, {"INPUT_S3-BUCKET": "b"}, {"LAYERCACHE_S3_BUCKET": "b"}])
def test_only_what_the_store_needs_is_installed(site: Site, given: Mapping[str, str]) -> None:
    assert site.run(**given).code == 0
    found = site.installed()
    assert {"boto3", "botocore", "s3transfer", "requests"} <= set(found)
    assert not {"cryptography", "pygithub", "PyGithub"} & set(found)


@pytest.mark.parametrize("given", [{"GITHUB_TOKEN": "t"}, {"INPUT_COMMENT": "true"}])
def test_what_asks_github_can_be_missing(site: Site, given: Mapping[str, str]) -> None:
    site.bring()
    ran = site.run(**NOWHERE, **given)
    assert ran.code == 0
    (warning,) = warnings(ran)
    assert warning.startswith(
        "::warning::layercache: GitHub is not asked for the size of its cache, and there is no comment on a pull "
        "request: its Python packages can't be installed: ERROR: "
    )
    assert warning.endswith("(docs/ci/github.md)")
    assert ran.log.splitlines()[-1] == f"layercache: Python {VERSION}, its other packages were there"
    assert site.told["environment"]["INPUT_COMMENT"] == "false"  # or the post step would say it once more
    assert list(site.kept.iterdir()) == []


def test_what_s3_needs_can_be_missing(site: Site) -> None:
    site.bring()
    ran = site.run(**NOWHERE, INPUT_STORE="s3://bucket", GITHUB_TOKEN="t", INPUT_COMMENT="true")
    assert ran.code == 0
    about_s3, about_github = warnings(ran)
    assert about_s3.startswith("::warning::layercache: S3 is not used, and what is built is built without a cache: ")
    assert about_github.startswith("::warning::layercache: GitHub is not asked")
    environment = site.told["environment"]
    assert (environment["INPUT_STORE"], environment["INPUT_MODE"]) == ("local", "off")


def test_one_set_that_is_missing_takes_no_other_with_it(site: Site) -> None:
    lock = site.action / "requirements/runtime.txt"
    before, name, after = lock.read_text().partition("pygithub==")
    entry, end, others = after.partition("# via")
    lock.write_text(before + name + "".join(map(_wrong, entry.splitlines(keepends=True))) + end + others)
    ran = site.run(INPUT_COMMENT="true")
    assert ran.code == 0
    (warning,) = warnings(ran)
    assert "can't be installed: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES" in warning
    assert f"layercache: Python {VERSION}, 11 packages installed in " in ran.log
    assert len(site.installed()) == 11


def test_an_index_that_does_not_answer_is_not_waited_for(site: Site) -> None:
    """The time is played: what is tested is that pip ends, and leaves nothing."""
    site.bring()
    (site.folder / "soon.js").write_text(
        "const { timeout } = AbortSignal; AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 20);"
    )
    with socket.create_server(("127.0.0.1", 0)) as index:
        address = {**NOWHERE, "PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}/"}
        ran = site.run(**address, NODE_OPTIONS=f"--require={site.folder / 'soon.js'}", GITHUB_TOKEN="t")
    assert ran.code == 0
    (warning,) = warnings(ran)
    assert "can't be installed: they were not there after 60 s; " in warning
    assert list(site.kept.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        {"INPUT_STORE": "local:/of/s3"},
        {"INPUT_STORE": "local", "LAYERCACHE_S3_BUCKET": "b", "GITHUB_TOKEN": "t"},
        {"INPUT_STORE": "github", "INPUT_S3-BUCKET": "b"},
    ],
)
def test_other_stores_need_nothing_of_s3(site: Site, given: Mapping[str, str]) -> None:
    site.bring()
    assert site.run(**NOWHERE, **given) == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")


def test_a_folder_of_wheels_is_enough(site: Site, python: Path) -> None:
    """As docs/ci/github.md says."""
    download = ("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
    lock, wheels = site.action / "requirements/runtime.txt", site.folder / "wheels"
    subprocess.run([python, *download, "-r", lock, "--dest", wheels], check=True)
    ran = site.run(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels), INPUT_STORE="s3://b", INPUT_COMMENT="true")
    assert (ran.code, warnings(ran)) == (0, [])
    assert {"boto3", "requests", "cryptography"} <= set(site.installed())


def test_the_comment_has_its_own(site: Site) -> None:
    assert site.run(INPUT_COMMENT="true").code == 0
    assert "cryptography" in site.installed()
    assert "boto3" not in site.installed()


def test_a_file_of_inputs_may_ask_for_them(site: Site) -> None:
    (site.folder / "cache.yml").write_text("comment: true\n")
    assert site.run(INPUT_CONFIG="cache.yml", GITHUB_WORKSPACE=str(site.folder)).code == 0
    assert "cryptography" in site.installed()


def test_two_jobs_at_once(site: Site) -> None:
    jobs = [site.start(TOLD=str(site.folder / name)) for name in ("one", "two")]
    assert [ended(job).code for job in jobs] == [0, 0]
    assert len(site.installed()) == 11
    assert site.run(**NOWHERE).code == 0


def test_what_is_half_made_is_made_anew(site: Site) -> None:
    assert site.run().code == 0
    (kept,) = site.kept.iterdir()
    shutil.rmtree(kept / "packages")  # a cleaner's work
    half = site.kept / f"{kept.name}.part-killed"
    (half / "packages/requests").mkdir(parents=True)
    assert site.run().code == 0
    assert (kept / "packages/requests/__init__.py").is_file()
    month = time.time() - 31 * 24 * 3600
    os.utime(half, (month, month))
    assert site.run(INPUT_COMMENT="true").code == 0
    assert not half.exists()
    assert kept.exists()


def test_the_tool_cache_has_a_python_too(bare: Site, python: Path) -> None:
    machine = {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]
    put_python(bare.folder / f"tools/Python/3.9.1/{machine}/bin/python3", Path("/bin/false"))
    put_python(bare.folder / f"tools/Python/3.12.1/{machine}/bin/python3", python)
    put_python(bare.folder / f"tools/Python/3.15.0-alpha.1/{machine}/bin/python3", Path("/of/no/use"))
    assert bare.run().code == 0
    assert bare.told["python"] == str(python)


def test_a_python_that_is_newer_than_the_lock_comes_last(site: Site) -> None:
    """Played by a program that answers as one."""
    old = site.folder / "bin/python3.12"
    (site.folder / "bin/python3").rename(old)
    answer = {"program": "/of/no/use", "version": "3.99.0", "number": [3, 99], "kind": [], "pip": True}
    (site.folder / "bin/python3").write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    (site.folder / "bin/python3").chmod(0o755)
    assert site.run().code == 0
    old.unlink()
    ran = site.run()
    assert ran.code == 1
    assert "::error::layercache: its Python packages can't be installed" in ran.log
    (site.folder / "bin/python3").write_text(f"#!/bin/sh\necho '{json.dumps({**answer, 'minimal': True})}'\n")
    assert "::error::layercache: there is no Python 3.11 or newer" in site.run().log


def test_without_a_tool_cache_the_packages_are_kept_in_the_home(site: Site) -> None:
    home = site.folder / "home"
    assert site.run(RUNNER_TOOL_CACHE="", XDG_CACHE_HOME="", HOME=str(home)).code == 0
    assert (home / ".cache/layercache-action").is_dir()


def test_no_python_is_one_error(bare: Site) -> None:
    put_python(bare.folder / "bin/python3", Path("/bin/false"))
    ran = bare.run()
    assert ran.code == 1
    assert ran.log == (
        "::error::layercache: there is no Python 3.11 or newer on this runner; "
        "add `uses: actions/setup-python` with python-version 3.12 before this step\n"
    )
    assert bare.run("post.js") == Ran(0, "")


def test_later_steps_can_not_run_in_an_image(bare: Site) -> None:
    """Where a step that builds would."""
    put_python(bare.folder / "bin/python3", Path("/bin/false"))
    docker = bare.folder / "bin/docker"
    docker.write_text("#!/bin/sh\n")
    docker.chmod(0o755)
    shutil.copy(CHECKOUT / "Dockerfile", bare.action)
    assert "running in layercache-action:" in bare.run().log
    ran = bare.run(INPUT_SETUP="true")
    assert (ran.code, ran.log.startswith("::error::layercache: there is no Python 3.11 or newer")) == (1, True)


def test_a_python_without_pip_is_one_error(bare: Site, pipless: Path) -> None:
    put_python(bare.folder / "bin/python3", pipless)
    ran = bare.run()
    assert ran.code == 1
    assert "has no pip on this runner; add `uses: actions/setup-python`" in ran.log
    assert ran.log.count("\n") == 1


def test_a_python_without_pip_does_with_what_a_release_brings_along(bare: Site, pipless: Path) -> None:
    put_python(bare.folder / "bin/python3", pipless)
    bare.bring()
    assert bare.run() == Ran(0, f"layercache: Python {VERSION}, its packages were there\n")
    for given, lack in (({"GITHUB_TOKEN": "t"}, "GitHub is not asked"), ({"INPUT_STORE": "s3://b"}, "S3 is not used")):
        ran = bare.run(**given)
        assert ran.code == 0
        (warning,) = warnings(ran)
        assert warning.startswith(f"::warning::layercache: {lack}")
        assert f"can't be installed: Python {VERSION} has no pip, " in warning


def test_where_s3_is_wanted_a_python_with_pip_comes_first_and_then_the_image(
    bare: Site, pipless: Path, python: Path
) -> None:
    bare.bring()
    given = {**without_python(bare), "INPUT_STORE": "s3://b"}
    put_python(bare.folder / "bin/python3", pipless)
    put_python(bare.folder / "bin/python3.12", python)
    assert bare.run(**given).code == 0
    assert (bare.told["python"], warnings(bare.run(**given))) == (str(python), [])
    (bare.folder / "bin/python3.12").unlink()
    assert "running in layercache-action:" in bare.run(**given).log
    # the image can't be given that
    hidden = bare.run(**given, INPUT_OUTPUTS="type=oci,dest=/usr/app.tar", RUNNER_TOOL_CACHE=str(bare.folder / "new"))
    (warning,) = warnings(hidden)
    assert (hidden.code, "S3 is not used" in warning) == (0, True)
    assert bare.run(**{**given, "INPUT_STORE": "github"}).code == 0
    assert bare.told["python"] == str(pipless)


def test_a_python_without_pip_does_with_uv(bare: Site, pipless: Path) -> None:
    """uv is played by a program that hands its arguments to a pip: what is tested is what it is given."""
    put_python(bare.folder / "bin/python3", pipless)
    uv = bare.folder / "bin/uv"
    uv.write_text(f'#!/bin/bash\nexec "{sys.executable}" -m pip "$2" "${{@:5}}"\n')
    uv.chmod(0o755)
    assert bare.run().code == 0
    assert len(bare.installed()) == 11


def test_a_uv_that_fails_is_followed_by_pip(site: Site) -> None:
    put_python(site.folder / "bin/uv", Path("/bin/false"))
    assert site.run().code == 0
    assert len(site.installed()) == 11


def test_what_the_job_sets_for_its_own_packages_does_no_harm(site: Site) -> None:
    foreign = {"PIP_USER": "1", "PIP_TARGET": "/nowhere", "PIP_NO_BINARY": ":all:", "PIP_REQUIRE_VIRTUALENV": "1"}
    ran = site.run(**foreign, PYTHONPATH="/of/the/job")
    assert ran.code == 0
    assert site.told["environment"]["PIP_USER"] == "1"
    assert site.told["environment"]["PYTHONPATH"].endswith(":/of/the/job")


def test_a_file_that_is_not_the_locks_is_refused(site: Site) -> None:
    lock = site.action / "requirements/runtime.txt"
    lock.write_text("".join(map(_wrong, lock.read_text().splitlines(keepends=True))))
    ran = site.run()
    assert ran.code == 1
    assert "::error::layercache: its Python packages can't be installed: " in ran.log
    assert list(site.kept.iterdir()) == []


def _wrong(line: str) -> str:
    """A line of a lock with another hash."""
    before, mark, after = line.partition("--hash=sha256:")
    return f"{before}{mark}{'0' * 64}{after[64:]}" if mark else line


def test_the_exit_code_is_the_entrypoints(site: Site) -> None:
    assert site.run(CODE="125").code == 125


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_runners_signals_reach_it(site: Site, number: signal.Signals) -> None:
    process = site.start(WAIT="1")
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "ready\n":
        assert line != ""
    process.send_signal(number)
    assert ended(process).code == 40 + number


def test_the_post_step_has_the_main_steps_python(site: Site, python: Path) -> None:
    assert site.run().code == 0
    state = site.state
    (site.folder / "bin/python3").unlink()
    assert site.run("post.js", **state, CODE="3") == Ran(3, "")
    assert (site.told["stage"], site.told["python"]) == ("post", str(python))


def test_the_action_itself_starts(site: Site) -> None:
    """With no more packages than it is given."""
    shutil.rmtree(site.action)
    site.action.mkdir()
    for name in ("launcher", "requirements", "layercache_ci", "entrypoint.py"):
        (site.action / name).symlink_to(CHECKOUT / name)
    ran = site.run(INPUT_ENGINE="none such")
    assert ran.code == 2
    assert ran.log.splitlines()[-1].startswith("::error::engine: 'none such' is none of its values")
