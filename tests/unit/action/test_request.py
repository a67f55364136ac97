"""From inputs to the settings of a build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from layercache_ci.action.inputs import read_inputs, variable
from layercache_ci.action.lists import ManifestList
from layercache_ci.action.request import Request, choose_engine, make_request
from layercache_ci.action.secret_files import masked, masks, shown
from layercache_ci.errors import InputError
from layercache_ci.settings import EngineChoice, Machine, Tier

CONTAINERS: Final[tuple[EngineChoice, ...]] = ("podman", "buildah")
NOWHERE: Final[Mapping[str, str]] = MappingProxyType({})
ON_GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "octo/app",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_SHA": "c0ffee",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "workspace"
    found.mkdir()
    (found / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "temp").mkdir()
    monkeypatch.chdir(found)
    return found


def request(
    workspace: Path, engine: EngineChoice = "buildkit", environment: Mapping[str, str] = NOWHERE, /, **values: str
) -> Request:
    machine = Machine(environment, 0, 1, terminal=False)
    inputs = read_inputs({variable(name.replace("_", "-")): value for name, value in values.items()})
    return make_request(inputs, machine, workspace.parent / "temp", engine=engine, workspace=workspace)


def refusal(workspace: Path, engine: EngineChoice = "buildkit", /, **values: str) -> str:
    with pytest.raises(InputError) as raised:
        request(workspace, engine, **values)
    return str(raised.value)


def test_no_inputs_build_the_workspace(workspace: Path) -> None:
    made = request(workspace)
    settings = made.settings
    assert (settings.context, settings.file, settings.tags, settings.wait) == (".", None, (), False)
    assert settings.engine_options == ()
    assert (settings.report, settings.metadata_file, settings.iidfile) == tuple(
        workspace.parent / "temp" / name for name in ("report.json", "metadata.json", "image-id")
    )
    assert (made.notes, made.warnings) == ((), ())


def test_what_build_push_action_has_a_field_for(workspace: Path) -> None:
    settings = request(
        workspace,
        "buildkit",
        {"FROM_OUTSIDE": "x"},
        context=".", file="Dockerfile", tags="r/a:1,r/a:2", labels="l=1,2", build_args="A=1\nFROM_OUTSIDE\nUNSET",
        build_contexts="other=docker-image://x", platforms="linux/amd64,linux/arm64", target="t", network="host",
        add_hosts="h:1.2.3.4", shm_size="2gb", ulimit="nofile=1:2", ssh="default", pull="true", push="true",
        load="true", no_cache="true", builder="b", outputs="type=registry",
    ).settings  # fmt: skip
    assert (settings.tags, settings.labels) == (("r/a:1", "r/a:2"), ("l=1,2",))
    assert settings.build_args == {"A": "1", "FROM_OUTSIDE": "x"}
    assert settings.build_contexts == {"other": "docker-image://x"}
    assert (settings.platform, settings.target, settings.network) == ("linux/amd64,linux/arm64", "t", "host")
    assert (settings.add_hosts, settings.shm_size, settings.ulimits) == (("h:1.2.3.4",), "2gb", ("nofile=1:2",))
    assert (settings.ssh, settings.builder, settings.outputs) == (("default",), "b", ("type=registry",))
    assert (settings.pull, settings.push, settings.load, settings.no_cache) == (True, True, True, True)


def test_what_goes_to_buildx_as_it_is(workspace: Path) -> None:
    made = request(
        workspace,
        "buildkit",
        ON_GITHUB,
        context=".", allow="network.host,security.insecure", annotations="a=1",
        attests="type=sbom,false\ntype=provenance,mode=min",
        cache_from="type=gha", cache_to="type=gha,mode=max", call="check", cgroup_parent="cg", no_cache_filters="x,y",
        provenance="mode=max", sbom="true",
    )  # fmt: skip
    assert made.settings.engine_options == (
        "--cgroup-parent=cg", "--annotation=a=1", "--allow=network.host", "--allow=security.insecure",
        "--cache-from=type=gha", "--cache-to=type=gha,mode=max,repository=octo/app",
        "--no-cache-filter=x", "--no-cache-filter=y", "--call=check",
        "--provenance=mode=max,builder-id=https://github.com/octo/app/actions/runs/7/attempts/2",
        "--sbom=true",
    )  # fmt: skip
    assert made.notes == ("cache-from and cache-to are handed to buildx; the cache of layercache needs neither",)
    assert made.foreseen == ("built without the cache: ",)
    assert request(workspace, call="build").foreseen == ()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"context": ".", "platforms": "linux/amd64,linux/arm64"}, "the cache of layercache needs neither"),
        ({"context": "https://github.com/o/r.git"}, "nothing of a context that the engine fetches"),
        ({}, "nothing of a context that the engine fetches"),
    ],
)
def test_what_buildxs_own_cache_is_of_use_for(workspace: Path, values: dict[str, str], said: str) -> None:
    note = request(workspace, "buildkit", ON_GITHUB, cache_to="type=inline", **values).notes[-1]
    assert note.startswith("cache-from and cache-to are handed to buildx; ")
    assert said in note


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("type=gha", "type=gha,repository=octo/app,ghtoken=tok"),
        ("mode=max, type=gha", "mode=max, type=gha,repository=octo/app,ghtoken=tok"),
        ("type=gha,repository=o/r", "type=gha,repository=o/r,ghtoken=tok"),
        ("type=gha,ghtoken=other", "type=gha,ghtoken=other,repository=octo/app"),
        ("type=gha,repository=o/r,ghtoken=other", "type=gha,repository=o/r,ghtoken=other"),
        ("type=registry,ref=r/a:cache", "type=registry,ref=r/a:cache"),
        ("type=inline", "type=inline"),
        ("r/a:cache", "r/a:cache"),
    ],
)
def test_githubs_cache_gets_what_build_push_action_gives_it(workspace: Path, given: str, made: str) -> None:
    settings = request(workspace, "buildkit", ON_GITHUB, cache_to=given, github_token="tok", context=".").settings
    assert settings.engine_options == (f"--cache-to={made}",)
    assert request(workspace, "buildkit", cache_to=given).settings.engine_options == (f"--cache-to={given}",)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ("false", "--provenance=false"),
        ("true", "--provenance=builder-id=https://github.com/octo/app/actions/runs/7/attempts/2"),
        ("mode=min,builder-id=x", "--provenance=mode=min,builder-id=x"),
    ],
)
def test_provenance_names_the_run(workspace: Path, given: str, option: str) -> None:
    assert request(workspace, "buildkit", ON_GITHUB, provenance=given).settings.engine_options == (option,)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ("type=provenance,mode=max", "type=provenance,mode=max,builder-id={run}"),
        ("mode=min, type=provenance", "mode=min,type=provenance,builder-id={run}"),
        ("type=provenance,true", "type=provenance,disabled=false,builder-id={run}"),
        ("type=provenance,builder-id=x", "type=provenance,builder-id=x"),
        ("type=sbom,generator=g", "type=sbom,generator=g"),
    ],
)
def test_so_does_one_among_other_attestations(workspace: Path, given: str, option: str) -> None:
    found = option.format(run="https://github.com/octo/app/actions/runs/7/attempts/2")
    assert request(workspace, "buildkit", ON_GITHUB, attests=given).settings.engine_options == (f"--attest={found}",)


@pytest.mark.parametrize(
    ("private", "values", "asked"),
    [
        (False, {}, "mode=max,builder-id="),
        (None, {}, "mode=max,builder-id="),
        (True, {}, "mode=min,inline-only=true,builder-id="),
        (False, {"provenance": "false"}, None),
        (False, {"attests": "type=sbom\ntype=provenance,mode=min"}, None),
        (False, {"attests": "type=sbom"}, "mode=max,builder-id="),
        (False, {"load": "true"}, None),
        (False, {"outputs": "type=docker,dest=x"}, None),
    ],
)
def test_provenance_that_nobody_asks_for_is_build_push_actions(
    workspace: Path, private: bool | None, values: dict[str, str], asked: str | None
) -> None:
    environment = {**ON_GITHUB, "GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(workspace / "event")}
    if private is not None:
        (workspace / "event").write_text(json.dumps({"repository": {"private": private}}))

    made = request(workspace, "buildkit", environment, **values).settings.provenance

    assert (made or "").startswith(asked or "")
    assert (made is None) == (asked is None)
    refused = {**environment, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    assert request(workspace, "buildkit", refused, **values).settings.provenance is None
    assert request(workspace, "buildkit", ON_GITHUB, **values).settings.provenance is None


def test_an_attestation_with_a_truth_value(workspace: Path) -> None:
    assert request(workspace, attests="type=sbom,false").settings.engine_options == (
        "--attest=type=sbom,disabled=true",
    )


def test_buildah_is_not_given_what_only_buildx_knows(workspace: Path) -> None:
    made = request(
        workspace, "buildah", engine="buildah", annotations="a=1", cgroup_parent="cg", sbom="true",
        cache_from="type=gha",
    )  # fmt: skip
    assert made.settings.engine_options == ("--cgroup-parent=cg", "--annotation=a=1")
    assert made.notes == ("buildah has no cache-from, sbom: left out",)


def test_where_the_workspace_has_not_the_commit_git_is_asked(workspace: Path) -> None:
    made = request(workspace, "buildkit", ON_GITHUB, github_token="tok")
    assert made.settings.context == "https://github.com/octo/app.git#c0ffee"
    (note,) = made.notes
    assert note.startswith("the context is https://github.com/octo/app.git#c0ffee, which the engine fetches, and not")
    assert note.endswith(": the workspace holds no git repository")
    assert made.foreseen == ("the engine fetches the context",)
    secret = workspace.parent / "temp/secrets/0"
    assert made.settings.secrets == (f"id=GIT_AUTH_TOKEN.github.com,src={secret}",)
    assert secret.read_text() == "tok"


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("https://git.example:8443", "GIT_AUTH_TOKEN.git.example:8443"),
        ("http://Git.Example/", "GIT_AUTH_TOKEN.Git.Example"),
        ("https://me:pw@git.example", "GIT_AUTH_TOKEN.git.example"),
    ],
)
def test_the_token_is_for_the_runs_own_host(workspace: Path, server: str, name: str) -> None:
    made = request(workspace, "buildkit", {**ON_GITHUB, "GITHUB_SERVER_URL": server}, github_token="tok")
    assert [word.partition(",")[0] for word in made.settings.secrets] == [f"id={name}"]


@pytest.mark.parametrize("name", ["GIT_AUTH_TOKEN", "GIT_AUTH_TOKEN.github.com", "GIT_AUTH_HEADER"])
def test_a_secret_of_that_name_stays_the_users(workspace: Path, name: str) -> None:
    (workspace / "own").write_text("own")
    for kind, value in (("secrets", "own"), ("secret_files", "own"), ("secret_envs", "OWN")):
        made = request(workspace, "buildkit", ON_GITHUB, github_token="tok", **{kind: f"{name}={value}"})
        assert [word.partition(",")[0] for word in made.settings.secrets] == [f"id={name}"]
    other = request(workspace, "buildkit", ON_GITHUB, github_token="tok", secrets="GIT_AUTH_TOKEN.elsewhere=own")
    assert len(other.settings.secrets) == 2


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ({"GITHUB_REF": "refs/pull/5/merge"}, "c0ffee"),
        ({"GITHUB_REF": "refs/pull/5/merge", "GITHUB_SHA": ""}, "refs/pull/5/merge"),
        ({"GITHUB_SHA": ""}, "refs/heads/main"),
        ({"GITHUB_REF": "main", "GITHUB_SHA": ""}, "refs/heads/main"),
        ({"GITHUB_REF": ""}, "c0ffee"),
    ],
)
def test_the_commit_of_the_run_is_fetched_where_it_is_known(workspace: Path, run: dict[str, str], named: str) -> None:
    """A ref may have moved since the run began."""
    made = request(workspace, "buildkit", {**ON_GITHUB, **run})
    assert made.settings.context == f"https://github.com/octo/app.git#{named}"


def test_the_default_context_by_name(workspace: Path) -> None:
    (workspace / "sub").mkdir()
    (workspace / "sub/Dockerfile.dev").write_text("FROM scratch\n")
    given = {
        "context": "{{defaultContext}}:sub",
        "file": "Dockerfile.dev",
        "build_contexts": "all={{ defaultContext }}",
    }
    here = request(workspace, "buildkit", **given).settings
    assert (here.context, here.file, here.build_contexts) == ("sub", "sub/Dockerfile.dev", {"all": "."})
    there = request(workspace, "buildkit", ON_GITHUB, **given).settings
    assert (there.context, there.file) == ("https://github.com/octo/app.git#c0ffee:sub", "Dockerfile.dev")


def test_what_buildx_takes_is_not_refused(workspace: Path) -> None:
    named = "type=image,name=ghcr.io/a/b,push-by-digest=true,name-canonical=true"
    assert request(workspace, "buildkit", push="true", outputs=named).settings.outputs == (named,)
    assert request(workspace, "buildkit", file="https://example.com/Dockerfile").settings.remote_file
    for engine in CONTAINERS:
        with pytest.raises(InputError, match="push"):
            request(workspace, engine, push="true")
    (workspace / "Dockerfile").rename(workspace / "dockerfile")
    assert request(workspace, "buildkit").settings.buildkit_dockerfile.name == "dockerfile"
    with pytest.raises(InputError, match="is no file"):
        request(workspace, "podman")
    (workspace / "dockerfile").rename(workspace / "Containerfile")
    with pytest.raises(InputError, match="is no file"):
        request(workspace, "buildkit")
    assert request(workspace, "podman").settings.dockerfile.name == "Containerfile"


def test_a_push_that_names_nothing_is_refused_where_no_buildx_decides(workspace: Path) -> None:
    for engine in CONTAINERS:
        with pytest.raises(InputError, match="--push: there is no name"):
            request(workspace, engine, push="true", outputs="type=local,dest=out")


def test_secrets_go_by_files_of_their_own(workspace: Path) -> None:
    (workspace / "key.pem").write_bytes(b"\x00key")
    made = request(
        workspace, secrets='"a=one\ntwo"\nempty=\nnothing', secret_envs="b=VAR", secret_files="c=key.pem\nd=absent"
    )
    folder = workspace.parent / "temp/secrets"
    assert made.settings.secrets == (f"id=a,src={folder}/0", "id=b,env=VAR", f"id=c,src={folder}/2")
    assert ((folder / "0").read_text(), (folder / "2").read_bytes()) == ("one\ntwo", b"\x00key")
    assert (folder.stat().st_mode & 0o777, (folder / "0").stat().st_mode & 0o777) == (0o700, 0o600)
    assert len(made.warnings) == 3
    assert not any("nothing" in warning for warning in made.warnings)


def test_no_line_of_a_secret_that_is_not_quoted_is_shown(workspace: Path) -> None:
    key = ("-----BEGIN KEY-----", "MIIEpAIBA", "zz9=", "zz8==", "-----END KEY-----")
    made = request(workspace, secrets="\n".join(("a=one", *key)))
    assert len(made.settings.secrets) == 1
    assert [warning for warning in made.warnings if any(line.strip("-=") in warning for line in key)] == []
    assert len(made.warnings) == 5
    (alone,) = request(workspace, secrets="a=").warnings
    assert "'a'" in alone


def test_what_is_masked() -> None:
    given = {"secrets": "a=one\nb=", "github-token": "tok", "s3-secret-access-key": "s3", "s3-session-token": "session"}
    inputs = read_inputs({variable(name): value for name, value in given.items()})
    assert masks(inputs) == ("one", "tok", "s3", "session")
    caches = {"cache-to": "type=gha,ghtoken=pat\ntype=s3,secret_access_key=key,region=r", "cache-from": "type=gha"}
    assert masks(read_inputs({variable(name): value for name, value in caches.items()})) == ("pat", "key")


def test_what_is_hidden_where_no_runner_does_it() -> None:
    inputs = read_inputs(
        {"INPUT_SECRETS": 'a=hunter22\n"key=line one\nline two\n}"\nb=1', "INPUT_GITHUB-TOKEN": "hunter"}
    )
    assert masked("1 hunter22, hunter, {line two}", inputs) == "1 ***, ***, {***}"


def test_what_the_summary_shows() -> None:
    given = {"secrets": "a=one", "github-token": "tok", "build-args": "A=1", "target": "t"}
    assert shown(read_inputs({variable(name): value for name, value in given.items()})) == {"target": "t"}
    fetched = {"context": "https://me:pw@host/r.git", "build-contexts": "x=https://pw@host/a\ny=b"}
    assert shown(read_inputs({variable(name): value for name, value in fetched.items()})) == {
        "context": "https://host/r.git",
        "build-contexts": "x=https://host/a\ny=b",
    }
    cache = read_inputs({"INPUT_CACHE-TO": "type=gha,ghtoken=pat,mode=max"})
    assert shown(cache) == {"cache-to": "type=gha,ghtoken=***,mode=max"}


def test_the_cache(workspace: Path) -> None:
    settings = request(
        workspace, s3_bucket="b/p", s3_endpoint="http://e", s3_region="r", s3_path_style="false", s3_role_arn="arn",
        s3_access_key_id="id", s3_secret_access_key="key", scope="s", read_scope="x,y", mode="read-only",
        max_size="1GB", tier="/t:2GB", cache_version="v", wait="true", keep_store="true",
    ).settings  # fmt: skip
    assert (settings.store, settings.s3_bucket, settings.s3.endpoint, settings.s3.path_style) == (
        None, "b/p", "http://e", False,
    )  # fmt: skip
    assert (settings.s3.access_key, settings.s3.secret_key, settings.s3.session_token) == ("id", "key", None)
    assert (settings.scope, settings.read_scopes, settings.mode) == ("s", ("x", "y"), "read-only")
    assert (settings.max_size, settings.tier) == (10**9, Tier(Path("/t"), 2 * 10**9))
    assert (settings.cache_version, settings.wait, settings.keep_store) == ("v", True, True)


def test_buildah_builds_inputs_are_meant_as_it_means_them(workspace: Path) -> None:
    (workspace / "sub").mkdir()
    (workspace / "sub/Containerfile").write_text("FROM scratch\n")
    made = request(
        workspace, "buildah", {"OUTER": "o"},
        image="Quay.io/Me/App", tags="V1 latest", containerfiles="Containerfile", context="sub",
        labels='a="x"\nb=1,2', build_args="A=1\nOUTER", archs="arm64", oci="true", annotations="n=1",
        tls_verify="false", extra_args="--ulimit nofile=1\n--volume=/a:/b", layers="true", squash="true",
    )  # fmt: skip
    settings = made.settings
    assert settings.tags == ("quay.io/me/app:v1", "quay.io/me/app:latest")
    assert (settings.context, settings.file, settings.platform) == (
        "sub", str(workspace / "sub/Containerfile"), "linux/arm64",
    )  # fmt: skip
    assert (settings.labels, settings.build_args) == (('a="x"', "b=1,2"), {"A": "1", "OUTER": "o"})
    assert settings.engine_options == (
        "--format=oci", "--annotation=n=1", "--ulimit", "nofile=1", "--volume=/a:/b", "--tls-verify=false",
    )  # fmt: skip
    assert (made.image, made.tags) == ("quay.io/me/app", "V1 latest")


@pytest.mark.parametrize("engine", ["buildah", "buildkit"])
def test_what_extra_args_say_of_the_image_is_planned(workspace: Path, engine: EngineChoice) -> None:
    """As one of the engine's own options it would not be looked at: another stage would be planned."""
    (workspace / "other").mkdir()
    settings = request(
        workspace, engine, {"OUTER": "o"},
        image="app", tags="v1", labels="a=1", build_args="A=1",
        extra_args="--jobs 2 --target prod --build-arg OUTER --build-arg=A=2\n--label b=2 --label=c=3 -t app:x -tapp:y"
        " --tag=app:z --build-context other=other --no-cache --isolation=chroot",
    ).settings  # fmt: skip
    assert (settings.target, settings.build_args) == ("prod", {"A": "2", "OUTER": "o"})
    assert (settings.tags, settings.labels) == (("app:v1", "app:x", "app:y", "app:z"), ("a=1", "b=2", "c=3"))
    assert (settings.build_contexts, settings.no_cache) == ({"other": "other"}, True)
    assert settings.engine_options[-3:] == ("--jobs", "2", "--isolation=chroot")


def test_buildah_build_writes_dockers_format_with_the_tag_latest(workspace: Path) -> None:
    made = request(workspace, "buildah", image="app")
    assert (made.settings.tags, made.settings.engine_options) == (("app:latest",), ("--format=docker",))


@pytest.mark.parametrize(
    ("outputs", "tags", "push", "kept"),
    [
        ("type=registry", ("a:1",), True, ()),
        ("type=image,push=true", ("a:1",), True, ()),
        ('type=image,"name=b:1,c:1"', ("a:1", "b:1", "c:1"), False, ()),
        ("type=docker\ntype=local,dest=x", ("a:1",), False, ("type=local,dest=x",)),
        ("out", ("a:1",), False, ("out",)),
    ],
)
def test_buildahs_settings_do_what_buildxs_exporters_do(
    workspace: Path, outputs: str, tags: tuple[str, ...], push: bool, kept: tuple[str, ...]
) -> None:
    settings = request(workspace, "buildah", tags="a:1", outputs=outputs).settings
    assert (settings.tags, settings.push, settings.outputs) == (tags, push, kept)


def test_an_image_of_which_no_id_is_written(workspace: Path) -> None:
    assert request(workspace, outputs="type=local,dest=x").settings.iidfile is None
    assert request(workspace, outputs="x").settings.iidfile is None


def test_several_platforms_of_buildah_are_a_list(workspace: Path) -> None:
    made = request(workspace, "buildah", image="r/app", tags="v1 v2", archs="amd64, arm64", tls_verify="false")
    settings = made.settings
    assert (settings.platform, settings.tags, settings.push) == ("linux/amd64,linux/arm64", (), False)
    assert settings.engine_options == ("--format=docker", "--tls-verify=false", "--manifest=r/app:v1")
    assert made.names == ("r/app:v1", "r/app:v2")
    assert made.list == ManifestList("buildah", made.names, push=False, options=("--tls-verify=false",))


def test_a_list_needs_a_name(workspace: Path) -> None:
    said = refusal(workspace, "podman", platforms="linux/amd64,linux/arm64")
    assert [word for word in ("platforms", "linux/amd64,linux/arm64", "tags") if word not in said] == []


def test_several_containerfiles_are_one(workspace: Path) -> None:
    (workspace / "a").write_text("FROM scratch AS a\n")
    (workspace / "b").write_text("COPY x /\n")
    file = request(workspace, "buildah", image="app", containerfiles="a\nb").settings.file
    assert file is not None
    assert Path(file).read_text() == "FROM scratch AS a\n\nCOPY x /\n"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"push": "true"}, ["push", "tags"]),
        ({"max_size": "big"}, ["max-size", "'big'", "10GB"]),
        ({"context": "nowhere"}, ["CONTEXT", "'nowhere'"]),
        ({"file": "nothing"}, ["file", "'nothing'"]),
        ({"build_contexts": "x"}, ["build-contexts", "'x'", "NAME=VALUE"]),
        ({"s3_kms_key": "k"}, ["s3-kms-key", "'k'", "s3-sse"]),
        ({"image": "app", "base_image": "fedora"}, ["base-image", "'fedora'", "containerfiles"]),
        ({"image": "app", "content": "a\nb"}, ["content", "COPY"]),
        ({"image": "app", "buildah_image": "quay.io/buildah"}, ["buildah-image", "quay.io/buildah"]),
        ({"image": "app", "tags": "r/a:1 b"}, ["tags", "r/a:1 b"]),
        ({"containerfiles": "Dockerfile", "tags": "v1"}, ["image", "'v1'"]),
        ({"image": "app", "containerfiles": "none"}, ["containerfiles", "'none'"]),
        ({"image": "app", "archs": "amd64", "platforms": "linux/amd64"}, ["platforms", "archs"]),
        ({"tags": "r/a:1", "base_image": "fedora"}, ["base-image", "'fedora'", "FROM", "containerfiles"]),
        ({"tags": "r/a:1", "entrypoint": "a\nb"}, ["entrypoint", "'a b'", "ENTRYPOINT"]),
        ({"tags": "r/a:1", "buildah_image": "quay.io/buildah"}, ["buildah-image", "quay.io/buildah"]),
        ({"tags": "r/a:1", "platform": "linux/arm64"}, ["platform", "'linux/arm64'", "image", "platforms"]),
        ({"tags": "r/a:1", "arch": "arm64"}, ["arch", "'arm64'", "containerfiles", "platforms"]),
        ({"tags": "r/a:1", "archs": "arm64"}, ["archs", "'arm64'", "containerfiles", "platforms"]),
        ({"tags": "r/a:1", "extra_args": "--jobs 4"}, ["extra-args", "'--jobs 4'", "image", "containerfiles"]),
    ],
)
def test_a_wrong_input_is_named_with_its_value_and_the_remedy(
    workspace: Path, values: dict[str, str], named: list[str]
) -> None:
    said = refusal(workspace, **values)
    assert "\n" not in said
    assert [word for word in named if word not in said] == []


def test_of_an_architecture_and_a_list_of_some_the_list_counts(workspace: Path) -> None:
    assert request(workspace, "buildah", image="app", arch="arm64", archs="amd64").settings.platform == "linux/amd64"
    both = request(workspace, "buildah", image="app", platform="linux/arm64", platforms="linux/amd64")
    assert both.settings.platform == "linux/amd64"


@pytest.mark.parametrize("output", ["type=oci,dest=x", "type=image,push-by-digest=true"])
def test_an_output_that_buildah_has_not(workspace: Path, output: str) -> None:
    said = refusal(workspace, "buildah", outputs=output)
    assert [word for word in ("outputs", repr(output), "type=", "engine: buildkit") if word not in said] == []


def program(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("installed", "values", "engine"),
    [
        (["buildah", "podman"], {}, "podman"),
        (["buildah", "podman"], {"image": "app"}, "buildah"),
        (["buildah"], {}, "buildah"),
        (["podman"], {}, "podman"),
        (["podman"], {"image": "app"}, "podman"),
        (["docker", "buildah"], {"builder": "b"}, "buildkit"),
        (["docker", "buildah"], {"builder": "b", "image": "app"}, "buildah"),
        (["docker", "buildah"], {"engine": "podman"}, "podman"),
    ],
)
def test_the_engine(tmp_path: Path, installed: list[str], values: dict[str, str], engine: str) -> None:
    for name in installed:
        program(tmp_path, name)
    inputs = read_inputs({variable(name): value for name, value in values.items()})
    assert choose_engine(inputs, Machine({"PATH": str(tmp_path)}, 0, 1, terminal=False)) == engine


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "engine: no Docker daemon answers, or docker has no buildx, and neither podman nor buildah is on PATH; "),
        ({"image": "app"}, "engine: neither podman nor buildah is on PATH, one of which builds; "),
    ],
)
def test_where_no_engine_is(tmp_path: Path, values: dict[str, str], said: str) -> None:
    inputs = read_inputs({variable(name): value for name, value in values.items()})
    with pytest.raises(InputError) as raised:
        choose_engine(inputs, Machine({"PATH": str(tmp_path)}, 0, 1, terminal=False))
    assert str(raised.value).startswith(said)


def test_whoever_meant_docker_is_told_that_another_engine_builds(workspace: Path) -> None:
    """Its later commands won't find the image."""
    assert request(workspace, "podman").notes == ("no Docker daemon answers, or docker has no buildx: podman builds",)
    assert request(workspace, "podman", engine="podman").notes == ()
    assert request(workspace, "podman", image="app").notes == ()


@pytest.mark.parametrize(
    ("runner", "given", "kept"),
    [("github-hosted", "", True), ("self-hosted", "", False), ("github-hosted", "false", False), ("", "true", True)],
)
def test_only_where_the_machine_is_thrown_away_an_image_is_left_where_it_is(
    workspace: Path, runner: str, given: str, *, kept: bool
) -> None:
    """Elsewhere the next job may look for it."""
    made = request(workspace, "podman", {"RUNNER_ENVIRONMENT": runner}, keep_store=given)
    assert made.settings.keep_store is kept
