"""The comment on a pull request, on a server with the shapes of GitHub's REST API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from layercache_ci.action.comment import fitting, marker, pull_request, sticky_comment
from layercache_ci.errors import CacheError
from tests.fakes.github_rest import MOST, Issue, served
from tests.integration.action.test_post import DONE, Job, job

__all__ = ["job"]
EVENT = {"pull_request": {"number": 5, "head": {"sha": "0" * 40}}}
MARK = "<!-- layercache:CI/build/app:v1 -->"


@dataclass(frozen=True, slots=True)
class Run:
    issue: Issue
    environment: dict[str, str]

    def comment(self, text: str) -> bool:
        return sticky_comment(text, self.environment, "the-token")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    event = tmp_path / "event.json"
    event.write_text(json.dumps(EVENT))
    with served(Issue("org/repo", 5, {1: "hello", 2: f"I quote {MARK}", 3: "there"})) as issue:
        environment = {
            "GITHUB_API_URL": issue.url, "GITHUB_REPOSITORY": "org/repo", "GITHUB_EVENT_PATH": str(event),
            "GITHUB_WORKFLOW": "CI", "GITHUB_JOB": "build", "INPUT_TAGS": "app:v1",
        }  # fmt: skip
        yield Run(issue, environment)


def test_the_first_run_adds_it_and_the_next_ones_edit_it(run: Run) -> None:
    assert run.comment("one") is True
    assert run.issue.comments[4] == f"{MARK}\none"
    assert run.comment("two") is True
    assert list(run.issue.comments.values()) == ["hello", f"I quote {MARK}", "there", f"{MARK}\ntwo"]
    before = len(run.issue.requests)
    assert run.comment("two") is True
    assert {request.split()[0] for request in run.issue.requests[before:]} == {"GET"}
    assert run.issue.tokens == {"token the-token"}


@pytest.mark.parametrize("length", [65_400, 65_536, 200_000])
@pytest.mark.parametrize("line", ["- missed", "x" * 99])
def test_what_is_longer_than_github_takes_ends_earlier(run: Run, length: int, line: str) -> None:
    """As of many builds behind setup: true."""
    head = "### layercache\n\n```text\na warning\n```\n\n````text\n```\n"
    run.comment((head + f"{line}\n" * (length // len(line)))[:length])
    body = run.issue.comments[4]
    assert body.startswith(f"{MARK}\n{head}{line}\n")
    fits = length + len(MARK) + 1 <= MOST
    assert body.endswith(f"\n{line}\n````\n\nThe rest is in the job summary.") != fits
    assert len(body) > MOST - len(MARK) - 2 * len(line) - 100


def test_a_block_that_is_cut_off_is_closed_wherever_that_is() -> None:
    """Or the word of the rest would be code."""
    seen = set()
    for most in range(53, 200):
        cut = fitting("y" * 9 + "\n```text\none\n```\n" + "z\n" * 100, most)
        assert len(cut) <= most
        assert cut.endswith("\n\nThe rest is in the job summary.")
        seen.add(tuple(line for line in cut.splitlines() if line.startswith("```")))
    assert seen == {(), ("```text", "```")}


def test_another_image_has_one_of_its_own(run: Run) -> None:
    run.comment("one")
    sticky_comment("two", {**run.environment, "INPUT_TAGS": "other:v1"}, "the-token")
    assert len(run.issue.comments) == 5


def test_each_build_of_a_matrix_has_one_of_its_own(run: Run) -> None:
    builds = [
        {}, {"INPUT_TARGET": "a"}, {"INPUT_TARGET": "b"}, {"INPUT_FILE": "b"}, {"INPUT_CONTEXT": "b"},
        {"INPUT_PLATFORMS": "linux/arm64"},
    ]  # fmt: skip
    for text in ("one", "two"):
        for number, build in enumerate(builds):
            sticky_comment(f"{text} {number}", {**run.environment, **build}, "the-token")
    bodies = [body.splitlines()[-1] for body in run.issue.comments.values()]
    assert bodies[3:] == [f"two {number}" for number in range(len(builds))]
    commits = ({"INPUT_CONTEXT": f"https://github.com/o/r.git#{sign * 40}"} for sign in "12")
    assert len({marker(commit) for commit in commits}) == 1


def test_a_token_that_may_only_read_is_a_reason_and_no_more(run: Run) -> None:
    run.issue.denied = True
    with pytest.raises(
        CacheError, match=r"pull request 5 gets none: 403 Resource not accessible.*pull-requests: write"
    ):
        run.comment("one")
    assert len(run.issue.comments) == 3
    assert sum("POST" in request for request in run.issue.requests) == 1


def test_no_token_and_no_server_are_reasons_too(run: Run) -> None:
    with pytest.raises(CacheError, match="github-token"):
        sticky_comment("one", run.environment, "")
    with pytest.raises(CacheError, match="pull request 5 gets none"):
        sticky_comment("one", {**run.environment, "GITHUB_API_URL": "http://127.0.0.1:9"}, "the-token")


def test_the_post_step_comments_with_the_headline(run: Run, job: Job) -> None:
    DONE.write(job.folder / "report.json")
    state = job.state("", log="", comment="true", warnings="2")
    post = job.post(state=state, **run.environment, **{"INPUT_GITHUB-TOKEN": "the-token"})
    assert (post.code, len(run.issue.comments)) == (0, 4)
    assert run.issue.comments[4].startswith(f"{MARK}\n### layercache: no step was counted, 4.5 MB saved")
    run.issue.denied = True
    other = {**run.environment, "INPUT_TAGS": "other", "INPUT_GITHUB-TOKEN": "the-token"}
    post = job.post(state=state, **other)
    assert post.code == 0
    assert "::warning::the comment: pull request 5 gets none: 403" in post.log


def test_no_secret_of_the_step_is_in_it(run: Run, job: Job) -> None:
    """The runner hides it in its logs and in the job summary; GitHub's API knows nothing of it."""
    DONE.warn("hunter22 is no folder").write(job.folder / "report.json")
    inputs = {"INPUT_GITHUB-TOKEN": "the-token", "INPUT_SECRETS": "a=hunter22"}
    post = job.post(state=job.state("", log="", comment="true", warnings="2"), **run.environment, **inputs)
    assert post.code == 0
    assert "*** is no folder" in run.issue.comments[4]
    assert "hunter22" not in run.issue.comments[4]


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ('{"pull_request": {"number": 5}}', 5),
        ('{"issue": {"number": 6, "pull_request": {"url": "x"}}}', 6),
        ('{"issue": {"number": 6}}', None),
        ('{"ref": "refs/heads/main"}', None),
        ("[]", None),
        ('{"pull_request": {"number": "5"}}', None),
    ],
)
def test_the_event_says_which_pull_request_it_is(tmp_path: Path, event: str, number: int | None) -> None:
    path = tmp_path / "event.json"
    path.write_text(event)
    assert pull_request({"GITHUB_EVENT_PATH": str(path)}) == number


def test_a_run_for_no_pull_request_comments_on_none(run: Run) -> None:
    Path(run.environment["GITHUB_EVENT_PATH"]).write_text('{"ref": "refs/heads/main"}')
    assert run.comment("one") is False
    assert sticky_comment("one", {}, "the-token") is False
    assert run.issue.requests == []


def test_an_event_that_cannot_be_read_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="can't be read"):
        pull_request({"GITHUB_EVENT_PATH": str(tmp_path / "none")})


def test_the_mark_outlives_a_commit_and_cannot_be_got_out_of() -> None:
    def mark(tags: str) -> str:
        return marker({"GITHUB_WORKFLOW": "C & I --> <b>", "GITHUB_JOB": "build", "INPUT_TAGS": tags})

    commits = ("3f2a91c", "0123456789abcdef0123456789abcdef01234567")
    assert len({mark(f"ghcr.io/org/app:sha-{commit}\nghcr.io/org/app:pr-5") for commit in commits}) == 1
    assert mark("app:1.2") != mark("app:1.3")
    assert mark("app:1\napp:2") == mark("app:2,app:1")
    assert mark("x --> <script>").count("-->") == 1
    assert "<b>" not in mark("x")
