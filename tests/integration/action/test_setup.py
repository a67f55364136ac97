"""`setup: true`: the step puts programs on PATH, and what later steps build with them is cached."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from layercache_ci.action.setup.command import BUILDX, CONTAINERS
from tests.conftest import MakeEngine
from tests.fakes.github_cache import serve
from tests.integration.action.test_main import NOTHING, SECONDS, Site, Step, site
from tests.integration.action.test_post_engines import post
from tests.lab.engines import BUILDKIT, Engine

__all__ = ["site"]
KINDS = ("buildah-1.28", "buildah-rootless", "podman-4.3", "remote", "docker-containerd")
DOCKERFILE = """\
FROM {base}
COPY app.txt /app.txt
RUN cp /app.txt /copy.txt
"""
on_engines = pytest.mark.parametrize("site", KINDS, indirect=True)


@dataclass(frozen=True, slots=True)
class Job:
    """A job of one runner, after the step with `setup: true`."""

    site: Site
    engine: Engine
    step: Step
    path: str

    @property
    def program(self) -> str:
        return "docker" if self.site.kind in BUILDKIT else self.engine.program

    @property
    def build(self) -> str:
        """The command that builds on this engine, to a place where the image can be."""
        words = {"remote": f"buildx build --output type=oci,dest={self.site.folder / 'image.tar'}"}
        return f"{self.program} {words.get(self.site.kind, 'build')} --network host"

    def start(self, script: str) -> subprocess.Popen[str]:
        """A `run:` step, which GitHub gives neither inputs nor the cache's tokens."""
        environment = {**self.engine.environment, "PATH": f"{self.path}{os.pathsep}{self.engine.environment['PATH']}"}
        return subprocess.Popen(
            [*self.engine.prefix, "bash", "-e", "-c", script],
            env=environment, cwd=self.site.workspace, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """The same, when it ended."""
        running = self.start(script)
        out, err = running.communicate(timeout=SECONDS)
        print(out, err)
        return subprocess.CompletedProcess(script, running.returncode, out, err)

    def post(self) -> tuple[str, str]:
        """The log and the job summary of the post step."""
        log, _ = post(self.site, self.engine, dict(self.step.state)).communicate(timeout=SECONDS)
        print(log)
        return log, (self.site.folder / "STEP_SUMMARY").read_text()


def set_up(site: Site, engine: Engine, environment: Mapping[str, str] = NOTHING, /, **inputs: str) -> Job:
    (site.workspace / "Dockerfile").write_text(DOCKERFILE.format(base=site.lab.busybox))
    path = site.folder / "PATH"
    path.write_text("")
    step = site.run(
        engine, {**environment, "GITHUB_PATH": str(path)}, setup="true", network="", summary="full", **inputs
    )
    assert (step.code, step.outputs, step.summary) == (0, {}, "")
    return Job(site, engine, step, path.read_text().strip())


@on_engines
def test_what_one_job_has_built_all_hits_in_the_next(site: Site, make_engine: MakeEngine) -> None:
    cold = set_up(site, make_engine(site.kind))
    assert cold.run(f"{cold.build} -t app:1 .").returncode == 0
    log, summary = cold.post()
    assert ": 0 of 2 steps hit" in summary
    assert " saved in " in log
    assert not Path(cold.path).exists()

    warm = set_up(site, make_engine(site.kind))
    built = warm.run(f"cd / && {warm.build} -t app:1 {site.workspace}")
    assert (built.returncode, "2 of 2 steps hit" in built.stderr) == (0, False)
    log, summary = warm.post()
    assert ": 2 of 2 steps hit" in summary
    assert summary.count("🟩 hit") == 2


@on_engines
def test_a_failing_build_has_the_engines_own_exit_code(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind), wait="true")
    (site.workspace / "Dockerfile").write_text(f"FROM {site.lab.busybox}\nRUN echo hello; exit 7\n")
    failed = job.run(f"{job.build} .")
    assert failed.returncode == (1 if site.kind in BUILDKIT else 7)
    assert "hello" in failed.stdout + failed.stderr
    assert "failed with exit code" in job.post()[1]


@on_engines
def test_what_builds_nothing_is_the_real_programs(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    assert job.run(f"command -v {job.program}").stdout == f"{job.path}/{job.program}\n"
    for words in ("--version", "build --help", "no-such-verb"):
        shim, real = job.run(f"{job.program} {words}"), job.engine.run(*words.split(), check=False)
        assert (shim.returncode, shim.stdout, shim.stderr) == (real.returncode, real.stdout, real.stderr)
    assert job.post()[1] == ""


@on_engines
def test_where_we_cannot_start_the_real_program_builds(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    settings = Path(job.path).parent / "setup.json"
    settings.write_text('{"path": [], "inputs": 1}')
    built = job.run(f"{job.build} .")
    assert built.returncode == 0
    assert "layercache: built without the cache: " in built.stderr
    settings.unlink()
    assert "layercache" not in job.run(f"{job.build} .").stderr


@pytest.mark.parametrize("site", ["buildah-1.28", "remote"], indirect=True)
def test_the_caches_tokens_are_kept_for_later_steps_and_for_nobody_else(site: Site, make_engine: MakeEngine) -> None:
    scope = "refs/heads/main"
    with serve() as server:
        given = server.environment(server.token((scope,), scope))
        for hits in (0, 2):
            job = set_up(site, make_engine(site.kind), given, store="github", wait="true")
            kept = Path(job.path).parent / "setup.json"
            modes = [path.stat().st_mode & 0o777 for path in (kept, kept.parent)]
            assert modes == [0o600, 0o700]
            assert given["ACTIONS_RUNTIME_TOKEN"] in kept.read_text()
            built = job.run(f"{job.build} .")
            assert (built.returncode, f"{hits} of 2 steps hit" in built.stderr) == (0, True)
            job.post()
            assert not kept.exists()


@pytest.mark.parametrize("site", ["buildah-1.28", "podman-4.3", "docker-containerd"], indirect=True)
def test_scripts_read_what_the_real_program_would_print(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    real = f"PATH={job.engine.environment['PATH']}"
    dockerfile = (site.workspace / "Dockerfile").read_text()
    find = "inspect --type image" if job.program == "buildah" else "image inspect"
    for before in (real, ""):
        built = job.run(f"{before} {job.build} --quiet --tag app:1 -f - . <<'END'\n{dockerfile}END")
        assert re.fullmatch(r"sha256:[0-9a-f]{64}\n" if job.program == "docker" else r"[0-9a-f]{64}\n", built.stdout)
        assert job.run(f"{job.program} {find} {built.stdout}").returncode == 0
    named = job.run(f"{job.build} --iidfile id . && cat id")
    assert re.search(r"^sha256:[0-9a-f]{64}$", named.stdout, re.MULTILINE)
    assert job.run(f"{job.program} {find} $(cat id)").returncode == 0
    assert job.post()[1].count("steps hit") == 2


@pytest.mark.parametrize("site", ["buildah-1.28", "remote"], indirect=True)
def test_what_is_not_known_is_built_without_the_cache(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    built = job.run(f"{job.build} --squash .")
    assert built.returncode == 0
    assert "layercache: built without the cache: --squash is not known to it\n" in built.stderr
    assert job.post()[1] == ""


@pytest.mark.parametrize("site", ["remote"], indirect=True)
def test_what_only_the_classic_builder_knew_may_be_said(site: Site, make_engine: MakeEngine) -> None:
    for hits in (0, 2):
        job = set_up(site, make_engine(site.kind))
        built = job.run(f"{job.build} --rm --force-rm=true --compress -m 1g --cpu-shares=2 -t app:1 .")
        assert (built.returncode, "built without" in built.stderr) == (0, False)
        assert f": {hits} of 2 steps hit" in job.post()[1]


@pytest.mark.parametrize("site", ["buildah-1.28", "buildah-rootless", "remote"], indirect=True)
def test_a_secret_may_come_by_a_descriptor(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    (site.workspace / "Dockerfile").write_text(
        f"FROM {site.lab.busybox}\nRUN --mount=type=secret,id=s,required=true grep -q hidden /run/secrets/s\n"
    )
    built = job.run(f"{job.build} --secret id=s,src=<(echo hidden) .")
    assert (built.returncode, "layercache: built without" in built.stderr) == (0, False)
    assert ": 0 of 1 steps hit" in job.post()[1]


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
def test_who_no_longer_reads_the_output_gets_no_second_build(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    built = job.run(f"set -o pipefail; {job.build} . | true")
    assert built.returncode == 1
    assert "layercache: warning: BrokenPipeError" in built.stderr
    assert "built without the cache" not in built.stderr


@pytest.mark.parametrize("site", ["buildah-1.28", "remote"], indirect=True)
def test_a_miss_fails_where_it_must_not_be(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind), fail_on_miss="true", wait="true")
    missed = job.run(f"{job.build} .")
    assert missed.returncode == 1
    assert "layercache: fail-on-miss: 2 steps missed: line 2" in missed.stderr
    assert job.run(f"{job.build} .").returncode == 0


@pytest.mark.parametrize("site", ["buildah-1.28", "remote"], indirect=True)
def test_builds_at_the_same_time(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    (site.workspace / "Makefile").write_text(f"all: a b\na b:\n\t{job.build.replace('image.tar', '$@.tar')} -t $@ .\n")
    assert job.run("make --jobs=2").returncode == 0
    assert job.post()[1].count("steps hit") == 2


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
@pytest.mark.parametrize(
    ("given", "error"),
    [
        (
            {"context": "."},
            "context: it is for a build, and with setup: true there is none here; leave one of them out",
        ),
        ({"max_size": "much"}, "max-size: 'much' is no size; write a number with a unit, like 500MB or 10GB"),
        ({"setup": "yes"}, "setup: 'yes' is neither true nor false; write true or false"),
    ],
)
def test_a_wrong_input_is_one_error(site: Site, make_engine: MakeEngine, given: dict[str, str], error: str) -> None:
    step = site.run(make_engine(site.kind), **{"setup": "true", "network": "", **given})
    assert (step.code, step.log) == (2, f"::error::{error}\n")
    assert list((site.folder / "temp").iterdir()) == []


@pytest.mark.parametrize("site", ["buildah-1.28"], indirect=True)
def test_a_step_after_another_takes_its_place(site: Site, make_engine: MakeEngine) -> None:
    engine = make_engine(site.kind)
    first = set_up(site, engine)
    second = set_up(site, replace(engine, environment={**engine.environment, "PATH": f"{first.path}:/usr/bin:/bin"}))
    assert "/usr/bin/buildah" in (Path(second.path) / "buildah").read_text()
    assert first.path not in (Path(second.path) / "buildah").read_text()


@pytest.mark.parametrize("kind", ["buildah-1.28", "podman-4.3", "buildah-sid", "podman-sid", "remote"])
def test_an_option_takes_a_value_where_the_engine_says_so(make_engine: MakeEngine, kind: str) -> None:
    engine = make_engine(kind)
    grammar, command = (BUILDX, ("buildx", "build")) if kind == "remote" else (CONTAINERS, ("build",))
    told = re.findall(r"^ +(?:-(\w), )?--([\w-]+)(?: (\S+))?", engine.run(*command, "--help").stdout, re.MULTILINE)
    assert len(told) > 20
    for short, name, value in told:
        alone = not value or '[="' in value
        if name in grammar.values | grammar.flags:
            assert (name in grammar.flags) == alone, name
        if short in grammar.short:
            assert grammar.short[short] == name


@pytest.mark.parametrize("site", ["buildah-1.28", "buildah-rootless", "remote"], indirect=True)
def test_what_a_cancelled_build_had_finished_is_saved(site: Site, make_engine: MakeEngine) -> None:
    job = set_up(site, make_engine(site.kind))
    (site.workspace / "Dockerfile").write_text(
        f"FROM {site.lab.busybox}\nRUN echo ok >/ok\nRUN echo so${{NOTHING}}on; exec sleep 100\n"
    )
    running = job.start(f"exec {job.build} . 2>&1")
    assert running.stdout is not None
    assert any("soon" in line for line in running.stdout)
    running.terminate()
    running.communicate(timeout=SECONDS)
    assert running.returncode not in {0, 100}
    log, summary = job.post()
    assert " saved in " in log
    assert "the build failed with exit code" in summary
