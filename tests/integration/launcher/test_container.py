"""The launcher on a runner without Python: what the container gets in which the step runs. docker is played."""

from __future__ import annotations

import csv
import os
import socket

import pytest

from tests.integration.launcher.sites import Ran, Site, without_python


def options(site: Site, name: str) -> set[str]:
    words = (site.folder / "told").read_text().splitlines()
    return {word.removeprefix(f"--{name}=") for word in words if word.startswith(f"--{name}=")}


def volumes(site: Site) -> dict[str, bool]:
    """By the path of each that the container has at the same path, whether it can be written there."""
    found = {}
    for (*fields,) in csv.reader(options(site, "mount")):
        kind, source, target, *readonly = fields
        assert (kind, source.removeprefix("source="), readonly) in (
            ("type=bind", target.removeprefix("target="), []),
            ("type=bind", target.removeprefix("target="), ["readonly"]),
        )
        found[target.removeprefix("target=")] = not readonly
    return found


def test_what_is_saved_in_the_image_stays_on_the_machine(bare: Site) -> None:
    given = without_python(bare)
    (bare.folder / "temp").mkdir()
    for more, kept in (
        ({}, {"home/.cache/layercache"}),
        ({"INPUT_STORE": "local", "XDG_CACHE_HOME": str(bare.folder / "xdg")}, {"xdg/layercache"}),
        ({"INPUT_STORE": "local:~/store"}, {"home/store"}),
        ({"INPUT_STORE": "s3://b", "INPUT_TIER": f"{bare.folder}/a:b:1.5 GiB"}, {"a:b"}),
        ({"INPUT_STORE": "github", "LAYERCACHE_TIER": f"{bare.folder}/tier"}, {"tier"}),
    ):
        assert bare.run(**{**given, **more}).code == 0
        places = {str(bare.folder / name) for name in (*kept, "temp", "checkout", ".")}
        assert volumes(bare) == {str(bare.action): False, **dict.fromkeys(places, True)}
        assert all((bare.folder / name).is_dir() for name in kept)


def test_in_the_image_all_is_of_the_actions_version(bare: Site) -> None:
    """The image may have been built with an older one: its name says what packages it has, and no more."""
    assert bare.run(**without_python(bare)).code == 0
    assert f"PYTHONPATH={bare.action}:/opt/layercache/packages" in options(bare, "env")


def test_variables_that_a_build_is_given_come_into_the_image(bare: Site) -> None:
    """What secret-envs and build-args name may begin like what the image has its own of."""
    named = {"NODE_AUTH_TOKEN": "t", "NODE_ENV": "test", "PYTHON_VERSION": "3.12", "LDFLAGS": "-s"}
    its_own = {"PYTHONWARNINGS": "error", "PYTHON_GIL": "0", "LD_PRELOAD": ""}
    assert bare.run(**{**without_python(bare), **named, **its_own}).code == 0
    told = options(bare, "env")
    assert (named.keys() - told, its_own.keys() & told) == (set(), set())


def test_inputs_come_into_the_image_by_a_docker_that_is_a_script(bare: Site) -> None:
    """A shell may hand on no name that it could not have itself."""
    assert bare.run(**without_python(bare), **{"INPUT_BUILD-ARGS": "A=1"}).code == 0
    assert {"INPUT_BUILD-ARGS", "INPUT_BUILD_ARGS"} <= options(bare, "env")


def test_an_action_that_is_the_checkout_is_one_volume(bare: Site) -> None:
    assert bare.run(**{**without_python(bare), "GITHUB_WORKSPACE": str(bare.action)}).code == 0
    assert volumes(bare)[str(bare.action)]


def test_a_container_job_hands_on_its_volumes_or_asks_for_a_python(bare: Site) -> None:
    """Its paths are not the daemon's."""
    given = without_python(bare)
    assert bare.run(**given, VOLUMES=str(bare.folder)).code == 0
    assert (options(bare, "volumes-from"), volumes(bare)) == ({"0123456789ab"}, {})
    (bare.folder / "told").unlink()
    ran = bare.run(**given, VOLUMES=f"{bare.action} {bare.checkout}")  # not where a local store is
    assert (ran.code, ran.log.count("\n")) == (1, 1)
    assert "there is no Python 3.11 or newer on this runner; add `uses: actions/setup-python`" in ran.log
    assert not (bare.folder / "told").exists()


def test_what_inputs_name_elsewhere_is_in_the_image_too(bare: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is read can't be written. What is not there is not given: the engine says so."""
    given = {**without_python(bare), "GITHUB_STATE": ""}
    there = tmp_path_factory.mktemp("there")
    for name in ("out", "context", "certificates", 'a,"b":c'):
        (there / name).mkdir()
    for name in ("Dockerfile", "Dockerfile.dockerignore", "key", "other", 'a,"b":c/secret', "inputs.yml"):
        (there / name).write_text("")
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(there / "agent"))
    of_agent = {"SSH_AUTH_SOCK": str(there / "agent")}
    cases: list[tuple[dict[str, str], dict[str, bool]]] = [
        ({"OUTPUTS": f"type=docker,dest={there}/out/app.tar"}, {"out": True}),
        ({"OUTPUTS": f"type=local,dest={there}/out"}, {"out": True}),
        ({"OUTPUTS": f"type=image\n{there}/out/new/er"}, {"out": True}),
        ({"OUTPUTS": f'type=oci,"dest={there}/a,""b"":c/app.tar"'}, {'a,"b":c': True}),
        ({"OUTPUTS": "type=tar,dest=-\ntype=tar,dest=/dev/null\ntype=local,dest=here\ntype=registry"}, {}),
        ({"CACHE-TO": f"type=local,dest={there}/out/new", "CACHE-FROM": f"type=local,src={there}/context"},
         {"out": True, "context": False}),
        ({"CACHE-TO": f"type=local,dest={there}/out", "CACHE-FROM": f"type=local,src={there}/out"}, {"out": True}),
        ({"CONTEXT": f"{there}/context", "FILE": f"{there}/Dockerfile"},
         {"context": False, "Dockerfile": False, "Dockerfile.dockerignore": False}),
        ({"CONTEXT": f"{there}/none", "FILE": f"{there}/none"}, {}),
        ({"CONTEXT": ".", "FILE": "Dockerfile"}, {}),
        ({"CONTEXT": os.path.relpath(there / "context", bare.checkout)}, {"context": False}),
        ({"CONTEXT": "https://github.com/o/r.git"}, {}),
        ({"CONTEXT": str(there), "FILE": f"{there}/Dockerfile"}, {".": False}),
        ({"BUILD-CONTEXTS": f"a={there}/context\nb=docker-image://x\nc=oci-layout://{there}/out@sha256:1"},
         {"context": False, "out": False}),
        ({"SECRET-FILES": f'a={there}/key\n"b={there}/a,""b"":c/secret"'}, {"key": False, 'a,"b":c/secret': False}),
        ({"SSH": f"a={there}/key", **of_agent}, {"key": False}),
        ({"SSH": "default", **of_agent}, {"agent": False}),
        ({"CONTEXT": "git@example.com:o/r", **of_agent}, {"agent": False}),
        ({**of_agent}, {}),
        ({"CONFIG": f"{there}/inputs.yml", "DOCKER_CERT_PATH": f"{there}/certificates"},
         {"inputs.yml": False, "certificates": False}),
    ]  # fmt: skip
    assert bare.run(**given).code == 0
    always = volumes(bare)
    for more, expected in cases:
        named = ("SSH_", "DOCKER_")
        inputs = {name if name.startswith(named) else f"INPUT_{name}": value for name, value in more.items()}
        assert bare.run(**given, **inputs).code == 0
        assert volumes(bare) == {**always, **{str(there / name): written for name, written in expected.items()}}
    agent.close()
    # what is temporary is written in the image, too
    assert bare.run(**given, INPUT_CONTEXT="/var/tmp").code == 0
    assert volumes(bare) == {**always, "/var/tmp": True}


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("outputs", "type=docker,dest=/app.tar", "/"),
        ("outputs", "type=local,dest=/no/such/folder", "/"),
        ("outputs", "type=oci,dest=/etc/app.tar", "/etc"),
        ("outputs", "type=oci,dest=/opt/no-such/app.tar", "/opt"),
        ("cache-to", "type=local,dest=/usr/no-such", "/usr"),
        ("context", "/", "/"),
        ("context", "/var", "/var"),
        ("context", "/usr/bin/", "/usr/bin"),
        ("build-contexts", "a=/lib/", "/lib"),
        ("secret-files", "a=/bin/sh", "/bin/sh"),
    ],
)
def test_what_would_hide_what_is_in_the_image_is_one_error(bare: Site, name: str, value: str, place: str) -> None:
    ran = bare.run(**without_python(bare), **{f"INPUT_{name.upper()}": value})
    assert ran == Ran(
        1,
        f"::error::layercache: {name}: {place} can't be given to the container that the step runs in, as this runner "
        "has no Python; name another place, or add `uses: actions/setup-python` before this step\n",
    )
    assert not (bare.folder / "told").exists()


def test_a_file_of_the_machines_settings_is_in_the_image(bare: Site) -> None:
    assert bare.run(**without_python(bare), **{"INPUT_SECRET-FILES": "a=/etc/passwd"}).code == 0
    assert not volumes(bare)["/etc/passwd"]


def test_a_container_job_has_no_more_than_its_volumes(bare: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    there = tmp_path_factory.mktemp("there")
    given = {**without_python(bare), "VOLUMES": str(bare.folder)}
    assert bare.run(**given, INPUT_OUTPUTS=f"type=oci,dest={bare.folder}/temp/a.tar").code == 0
    ran = bare.run(**given, INPUT_OUTPUTS=f"type=oci,dest={there}/a.tar")
    assert (ran.code, "there is no Python 3.11 or newer on this runner" in ran.log) == (1, True)


@pytest.mark.parametrize(("security", "expected"), [("", True), ("name=seccomp,profile=builtin name=rootless", False)])
def test_in_the_image_an_ordinary_user_stays_one(bare: Site, security: str, expected: bool) -> None:
    """But for a rootless daemon, whose root is that user."""
    given = without_python(bare)
    with (bare.folder / "inside.js").open("a") as script:
        script.write("process.getuid = () => 1001; process.getgid = () => 121; process.getgroups = () => [121, 4];")
    with socket.socket(socket.AF_UNIX) as daemon:
        path = bare.folder / "s"
        daemon.bind(str(path))
        group = str(path.stat().st_gid)
        ran = bare.run(**{**given, "DOCKER_HOST": f"unix://{path}", "SECURITY": security, "INPUT_STORE": "github"})
    assert ran.code == 0
    assert options(bare, "user") == ({"1001:121"} if expected else set())
    assert options(bare, "group-add") == ({"121", "4", group} if expected else set())
    made = ("home/.docker", "home/.cache/layercache")  # which only root could make inside
    assert {str(bare.folder / name) for name in made} <= {name for name, written in volumes(bare).items() if written}
    assert all((bare.folder / name).is_dir() for name in made)
