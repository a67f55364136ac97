"""Step records as bytes and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layercache_ci.errors import CacheError
from layercache_ci.layers.model import Descriptor, Layer
from layercache_ci.store import serial
from layercache_ci.store.model import Step, StepRecord
from tests.contract.samples import descriptor_of, layer, record, step

text = st.text(st.characters(), max_size=20)  # lone surrogates too: file names that are no UTF-8 come as such
sizes = st.integers(0, 1 << 62)
descriptors = st.builds(Descriptor, text, text, sizes)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
steps = st.builds(
    Step,
    key=text,
    instruction=text,
    text=text,
    ingredients=st.dictionaries(text, text, max_size=3),
    layers=st.lists(st.builds(Layer, text, sizes, descriptors, st.none() | descriptors), max_size=2).map(tuple),
    seconds=st.none() | st.floats(0, 1e9),
    engine=st.dictionaries(text, json_values, max_size=2),
)
records = st.builds(StepRecord, text, text, st.lists(steps, max_size=4).map(tuple), text, text)

SAMPLE = record(
    step("a", [descriptor_of(b"1")]), Step("b", "RUN", "", {}, (layer(descriptor_of(b"2"), descriptor_of(b"3")),))
)


@settings(deadline=None)
@given(records)
def test_a_record_comes_back_as_it_went(original: StepRecord) -> None:
    assert serial.decode(serial.encode(original)) == original
    assert serial.from_json(serial.to_json(original)) == original


def test_equal_records_are_the_same_bytes() -> None:
    one = Step("a", "RUN", "", {"x": "1", "y": "2"}, seconds=3, engine={"p": 1, "q": {"r": 2, "s": 3}})
    two = Step("a", "RUN", "", {"y": "2", "x": "1"}, seconds=3.0, engine={"q": {"s": 3, "r": 2}, "p": 1})
    assert serial.encode(record(one)) == serial.encode(record(two))
    assert serial.identity(serial.to_json(record(one))) == serial.identity(serial.to_json(record(two)))


def test_compressed_only_where_that_is_smaller() -> None:
    tiny, large = (
        serial.to_json(StepRecord("", "", (), "", "")),
        serial.to_json(record(*(step("a") for _ in range(99)))),
    )
    assert serial.compress(tiny) == tiny
    assert len(serial.compress(large)) < len(large) / 4
    assert serial.decompress(serial.compress(large)) == large


def mutated(path: list[str | int], value: Any) -> bytes:
    document = json.loads(serial.to_json(SAMPLE))
    place = document
    for part in path[:-1]:
        place = place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize("value", [None, True, [], 7.5], ids=repr)
@pytest.mark.parametrize(
    "path",
    [
        ["version"],
        ["namespace"],
        ["created"],
        ["chain", 0],
        ["chain", 0, "key"],
        ["chain", 0, "ingredients"],
        ["chain", 0, "ingredients", "instruction"],
        ["chain", 0, "engine"],
        ["chain", 0, "layers", 0],
        ["chain", 0, "layers", 0, "size"],
        ["chain", 0, "layers", 0, "blob"],
        ["chain", 1, "layers", 0, "tar_split", "digest"],
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_another_shape_is_no_record(path: list[str | int], value: Any) -> None:
    with pytest.raises(CacheError, match="step record"):
        serial.decode(mutated(path, value))


@pytest.mark.parametrize("path", [["chain", 0], ["chain", 0, "ingredients", "instruction"], ["chain", 0, "layers", 0]])
def test_one_fewer_is_a_record_still(path: list[str | int]) -> None:
    assert serial.decode(mutated(path, ...)) != SAMPLE


@pytest.mark.parametrize(
    "path", [["stage"], ["chain"], ["chain", 0, "text"], ["chain", 0, "layers", 0, "diff_id"]], ids=repr
)
def test_a_member_that_is_missing_is_named(path: list[str | int]) -> None:
    with pytest.raises(CacheError, match=f"{path[-1]} should be"):
        serial.decode(mutated(path, ...))


@pytest.mark.parametrize("value", [True, "1", {}], ids=repr)
def test_seconds_are_a_number_or_not_known(value: Any) -> None:
    with pytest.raises(CacheError, match="seconds"):
        serial.decode(mutated(["chain", 0, "seconds"], value))
    assert serial.decode(mutated(["chain", 0, "seconds"], None)).chain[0].seconds is None


def test_a_later_version_is_said_to_be_one() -> None:
    with pytest.raises(CacheError, match="version is 2"):
        serial.decode(mutated(["version"], 2))


@settings(deadline=None)
@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda data: serial.ZSTD_MAGIC + data))
def test_any_other_bytes_are_a_cache_error(data: bytes) -> None:
    with pytest.raises(CacheError):
        serial.decode(data)


@settings(deadline=None)
@given(st.data())
def test_cut_or_altered_it_is_an_error_or_a_record(data: st.DataObject) -> None:
    encoded = bytearray(serial.encode(SAMPLE))
    at = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(CacheError):
        serial.decode(bytes(encoded[:at]))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = serial.decode(bytes(encoded))
    except CacheError:
        return
    assert isinstance(changed, StepRecord)


def test_what_json_cannot_hold() -> None:
    for value in (b"bytes", float("nan"), object()):
        with pytest.raises(CacheError, match="JSON"):
            serial.to_json(record(Step("a", "RUN", "", {}, engine={"x": value})))


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(CacheError, match="more than 64 MiB"):
        serial.decode(serial.compress(b" " * (65 << 20)))
