from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig, CacheInput, CacheLayer, CacheRecord, CacheResult
from layercache_ci.engines.buildkit.provenance import Lines, Provenance, records_of, unclaimed
from layercache_ci.errors import CacheError

from .configs import configs, real, time


def _real(name: str) -> tuple[CacheConfig, Provenance]:
    found = real(name)
    return CacheConfig.from_json(found["config"]), Provenance.from_metadata(found["metadata"])


def _at(provenance: Provenance, line: int) -> tuple[str, ...]:
    steps = provenance.steps_at(line)
    assert steps, f"line {line} has no step"
    return steps


def _provenance(inputs: dict[str, tuple[str, ...]], layers: dict[str, tuple[tuple[str, ...], ...]]) -> Provenance:
    return Provenance({}, inputs, {}, layers)


@pytest.mark.parametrize("name", ["three", "twin"])
def test_every_real_step_with_layers_has_records_and_every_result_is_a_steps(name: str) -> None:
    config, provenance = _real(name)
    records = records_of(config, provenance)
    bases = {step for step, below in provenance.inputs.items() if not below}
    assert records.keys() == provenance.layers.keys() - bases
    assert unclaimed(config, records) == ()


def test_real_steps_with_equal_chains_are_told_apart_by_what_they_stand_on() -> None:
    """`COPY --from=two /two` on `one` gives the layer that `RUN` made on the same steps in `two`."""
    config, provenance = _real("twin")
    records = records_of(config, provenance)
    (run,), (copy,) = _at(provenance, 7), _at(provenance, 13)
    assert provenance.layers[run] == provenance.layers[copy]
    assert records[run] != records[copy]
    assert [len(config.records[record].inputs) for record in (*records[run], *records[copy])] == [1, 2]


def test_a_real_key_of_content_is_the_record_of_all_that_have_the_content() -> None:
    config, provenance = _real("twin")
    records = records_of(config, provenance)
    (first,), (second,) = _at(provenance, 9), _at(provenance, 11)
    assert provenance.layers[first] == provenance.layers[second]
    assert set(records[first]) < set(records[second])


def test_equal_real_steps_of_two_stages_are_one_step_in_two_places() -> None:
    _, provenance = _real("twin")
    assert _at(provenance, 2) == _at(provenance, 5)
    assert provenance.lines[_at(provenance, 2)[0]] == (Lines(0, 2, 2), Lines(0, 5, 5))


def test_a_real_copy_with_link_is_two_steps_of_one_line() -> None:
    config, provenance = _real("three")
    copied, merged = sorted(_at(provenance, 11), key=lambda step: len(provenance.layers[step][0]))
    assert provenance.inputs[merged][1] == copied
    records = records_of(config, provenance)
    assert len(records[copied]) == len(records[merged]) == 1


def test_a_real_heredoc_is_one_place() -> None:
    _, provenance = _real("three")
    assert {_at(provenance, line) for line in range(12, 16)} == {_at(provenance, 12)}


def test_a_real_vertex_is_known_by_its_digest() -> None:
    _, provenance = _real("three")
    assert set(provenance.vertices.values()) == provenance.inputs.keys()


def test_the_last_blob_alone_says_nothing() -> None:
    empty = "e"
    config = CacheConfig(
        (CacheLayer("a"), CacheLayer(empty, 0), CacheLayer(empty, 1)),
        tuple(CacheRecord(f"r{at}", (), (CacheResult((at,), time(at)),)) for at in range(3)),
    )
    provenance = _provenance({"one": (), "two": ()}, {"one": (("a", empty),), "two": (("a", empty, empty),)})
    records = records_of(config, provenance)
    assert records == {"one": (1,), "two": (2,)}
    assert unclaimed(config, records) == (0,)


def test_links_decide_between_steps_with_equal_chains_and_inputs() -> None:
    result = (CacheResult((0,), time(1)),)
    config = CacheConfig(
        (CacheLayer("same"), CacheLayer("a"), CacheLayer("b")),
        (
            CacheRecord("a", (), (CacheResult((1,), time(1)),)),
            CacheRecord("b", (), (CacheResult((2,), time(1)),)),
            CacheRecord("x", ((CacheInput(0),),), result),
            CacheRecord("y", ((CacheInput(1, "selector"),),), result),
        ),
    )
    provenance = _provenance(
        {"a": (), "b": (), "x": ("a",), "y": ("b",)},
        {"a": (("a",),), "b": (("b",),), "x": (("same",),), "y": (("same",),)},
    )
    assert records_of(config, provenance) == {"a": (0,), "b": (1,), "x": (2,), "y": (3,)}


@given(configs())
def test_records_with_results_are_claimed_or_listed(config: CacheConfig) -> None:
    layers = {f"step{index}": config.results(index) for index in range(0, len(config.records), 2)}
    inputs = {f"step{index}": ("x",) * len(record.inputs) for index, record in enumerate(config.records)}
    records = records_of(config, _provenance(inputs, layers))
    claimed = {index for some in records.values() for index in some}
    assert claimed.isdisjoint(unclaimed(config, records))
    assert claimed | set(unclaimed(config, records)) == {
        index for index, record in enumerate(config.records) if record.results
    }


V1: dict[str, Any] = {
    "buildDefinition": {
        "internalParameters": {
            "buildConfig": {
                "llbDefinition": [{"id": "step0"}, {"id": "step1", "inputs": ["step0:0"]}],
                "digestMapping": {"sha256:a": "step0", "sha256:b": "step1"},
            }
        }
    },
    "runDetails": {
        "metadata": {
            "buildkit_metadata": {
                "source": {
                    "locations": {
                        "step0": {},
                        "step1": {
                            "locations": [{"sourceIndex": 1, "ranges": [{"start": {"line": 3}, "end": {"line": 4}}]}]
                        },
                    }
                },
                "layers": {"step1:0": [[{"digest": "a"}, {"digest": "b"}]], "step1:1": [[{"digest": "c"}]]},
            }
        }
    },
}


def test_the_shape_of_slsa_v1() -> None:
    found = Provenance.from_json(V1)
    assert found == Provenance(
        vertices={"sha256:a": "step0", "sha256:b": "step1"},
        inputs={"step0": (), "step1": ("step0",)},
        lines={"step0": (), "step1": (Lines(1, 3, 4),)},
        layers={"step1": (("a", "b"), ("c",))},
    )
    assert found.steps_at(3) == ()
    assert found.steps_at(3, source=1) == ("step1",)


def test_a_metadata_file_of_two_platforms() -> None:
    metadata = {f"buildx.build.provenance/{platform}": V1 for platform in ("linux/amd64", "linux/arm64")}
    assert Provenance.by_platform({"buildx.build.ref": "x", **metadata}).keys() == {"linux/amd64", "linux/arm64"}
    for several_or_none in (metadata, {"buildx.build.ref": "x"}):
        with pytest.raises(CacheError, match="platforms"):
            Provenance.from_metadata(several_or_none)


@pytest.mark.parametrize("value", [{}, {"buildConfig": {}}, {"buildConfig": {"llbDefinition": []}, "metadata": {}}])
def test_provenance_of_mode_min_is_refused(value: object) -> None:
    with pytest.raises(CacheError, match="BUILDX_METADATA_PROVENANCE"):
        Provenance.from_json(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"buildConfig": 3},
        {"buildConfig": {"llbDefinition": {"a": 1}}},
        {"buildConfig": {"llbDefinition": [{"id": "step0"}]}, "metadata": [1]},
        {"buildDefinition": {"internalParameters": 3}},
    ],
)
def test_malformed_provenance_is_a_fault_of_the_cache(value: object) -> None:
    with pytest.raises(CacheError, match="malformed"):
        Provenance.from_json(value)
