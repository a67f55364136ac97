from __future__ import annotations

import pytest

from layercache_ci.dockerfile.ast import Instruction
from layercache_ci.dockerfile.instructions import Mount, flag_values, is_set, mounts
from layercache_ci.dockerfile.parser import parse
from layercache_ci.errors import InputError


def run(flags: str) -> Instruction:
    return parse(f"FROM a\nRUN {flags} x".encode(), name="f").instructions[1]


def same(word: str) -> str:
    return word


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("target=/a", Mount(target="/a")),
        (
            "type=CACHE,dst=/a,id=b,sharing=Locked",
            Mount("cache", target="/a", id="b", sharing="locked", read_only=False),
        ),
        ("type=cache,target=/a,ro", Mount("cache", target="/a")),
        ("type=bind,source=b,destination=/a,rw,from=c", Mount("bind", "b", "/a", "c", read_only=False)),
        ("readwrite=false,src=b", Mount(source="b")),
        ("type=tmpfs,target=/a,size=1.5kb", Mount("tmpfs", target="/a", read_only=False, size=1536)),
        ("type=tmpfs,size=1_0e1_0 B", Mount("tmpfs", read_only=False, size=10**11)),
        ("type=tmpfs,size=-0", Mount("tmpfs", read_only=False)),
        ("type=secret,id=a,env=,mode=0440,uid=1,gid=2", Mount("secret", id="a", env="", mode=0o440, uid=1, gid=2)),
        ("type=ssh,required", Mount("ssh", required=True)),
        ("type=secret,id=a,required=F", Mount("secret", id="a")),
        ('target=/a,"source=b,c"', Mount(source="b,c", target="/a")),
        ("target=", Mount()),
    ],
)
def test_a_mount_with_its_defaults(value: str, expected: Mount) -> None:
    instruction = run(f"--mount='{value}'")
    assert mounts(instruction) == (expected,)
    assert mounts(instruction, same) == (expected,)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("type=volume", "it must be one of bind, cache"),
        ("target=/a,colour=red", "unknown key 'colour': the keys are type"),
        ("target", "'target' has no value"),
        ("required,type=ssh", "a mount of type bind has no 'required'"),
        ("type=cache,size=1", "a mount of type cache has no 'size'"),
        ("type=tmpfs,size=1x", "no size"),
        ("type=tmpfs,size=1e999", "no size"),
        ("type=tmpfs,size=1__0", "no size"),
        ("type=cache,sharing=", "shared, private, locked"),
        ("ro=yes", "neither true nor false"),
        ("type=cache,mode=9", "base 8"),
        ("type=cache,uid=4294967296", "32 bits"),
        ("uid=1", "a mount of type bind has no 'uid'"),
        ("sharing=locked", "a mount of type bind has no 'sharing'"),
        ("type=secret", "needs id=NAME"),
        ("type=secret,from=a,id=b", "no 'from'"),
        ("type=secret,source=a,id=b", "either 'source' or 'id'"),
    ],
)
def test_what_is_refused_only_after_expansion(value: str, message: str) -> None:
    instruction = run(f"--mount={value}")
    assert len(mounts(instruction)) == 1
    with pytest.raises(InputError) as caught:
        mounts(instruction, same)
    assert message in str(caught.value)
    assert str(caught.value).startswith("RUN on line 2: ")


def test_raw_values_keep_their_variables_and_expansion_replaces_them() -> None:
    instruction = run("--mount=type=$T,target=$H/.cache,uid=$U --mount=target=/b")
    assert mounts(instruction) == (Mount(target="$H/.cache"), Mount(target="/b"))
    values = {"$T": "cache", "$H/.cache": "/root/.cache", "$U": "7"}
    assert mounts(instruction, lambda word: values.get(word, word)) == (
        Mount("cache", target="/root/.cache", uid=7, read_only=False),
        Mount(target="/b"),
    )


def test_flag_values() -> None:
    copy = parse(b"FROM a\nCOPY --link --exclude=b --parents=False --exclude= --chown=c=d e f", name="f").instructions[
        1
    ]
    assert flag_values(copy, "exclude") == ("b", "")
    assert flag_values(copy, "chown") == ("c=d",)
    assert flag_values(copy, "link") == ("",)
    assert flag_values(copy, "from") == ()
    assert is_set(copy, "link")
    assert not is_set(copy, "parents")
    assert not is_set(copy, "unpack")
