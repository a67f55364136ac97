from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.engines.buildkit.cacheconfig import CacheConfig, CacheInput, CacheLayer, CacheRecord, CacheResult
from layercache_ci.engines.buildkit.cachemerge import cut, newest, unite, without_blobs

from .configs import blob, configs, real, time

Keyed = set[tuple[str, frozenset[tuple[str, ...]]]]


def _keys(config: CacheConfig) -> list[str]:
    """What each record is, all the way down."""
    keys: dict[int, str] = {}

    def key(index: int) -> str:
        if index not in keys:
            record = config.records[index]
            inputs = [sorted({(key(one.link), one.selector) for one in options}) for options in record.inputs]
            keys[index] = repr((record.digest, inputs))
        return keys[index]

    return [key(index) for index in range(len(config.records))]


def _results(config: CacheConfig) -> set[tuple[str, tuple[str, ...]]]:
    return {(key, chain) for index, key in enumerate(_keys(config)) for chain in config.results(index)}


@given(st.lists(configs(), max_size=3))
def test_a_union_has_every_key_and_result_of_all(parts: list[CacheConfig]) -> None:
    union = unite(parts)
    assert sorted(_keys(union)) == sorted({key for part in parts for key in _keys(part)})
    assert _results(union) == {result for part in parts for result in _results(part)}


@given(configs(), configs())
def test_a_union_minds_no_order_and_no_repetition(one: CacheConfig, other: CacheConfig) -> None:
    union = unite([one, other])
    assert union == unite([other, one])
    assert union == unite([union]) == unite([union, one, union])
    assert CacheConfig.from_json(union.to_json()) == union


@given(configs(), st.sets(st.integers(0, 4)))
def test_a_cut_is_part_of_the_whole(config: CacheConfig, wanted: set[int]) -> None:
    keep = {index for index in wanted if index < len(config.records)}
    part = cut(config, keep)
    keys = _keys(config)
    assert set(_keys(part)) <= set(keys)
    assert {keys[index] for index in keep} <= set(_keys(part))
    assert _results(part) == {(keys[index], chain) for index in keep for chain in config.results(index)}
    assert unite([config, part]) == unite([config])


@given(configs(), st.sets(st.integers(0, 3).map(blob)))
def test_no_chain_goes_through_a_missing_blob(config: CacheConfig, missing: set[str]) -> None:
    left = without_blobs(config, missing)
    assert missing.isdisjoint(left.blobs())
    assert set(_keys(left)) == set(_keys(config))
    assert _results(left) == {(key, chain) for key, chain in _results(config) if missing.isdisjoint(chain)}


@given(configs(), st.integers(0, 12))
def test_the_newest_results_stay(config: CacheConfig, count: int) -> None:
    ages = sorted(result.age for record in config.records for result in record.results)
    kept = [result.age for record in newest(config, count).records for result in record.results]
    assert len(kept) <= count
    assert all(age in ages[len(ages) - min(count, len(ages)) :] for age in kept)


def test_a_result_that_two_have_keeps_its_newest_time() -> None:
    def config(second: int) -> CacheConfig:
        return CacheConfig((CacheLayer("a"),), (CacheRecord("r", (), (CacheResult((0,), time(second)),)),))

    assert unite([config(3), config(7), config(5)]) == config(7)


def test_what_only_leads_to_a_kept_record_loses_its_result() -> None:
    first = CacheRecord("first", (), (CacheResult((0,), time(1)),))
    second = CacheRecord("second", ((CacheInput(0),),), (CacheResult((1,), time(2)),))
    config = CacheConfig((CacheLayer("a"), CacheLayer("b", 0)), (first, second))
    part = cut(config, [1])
    assert [(record.digest, part.results(index)) for index, record in enumerate(part.records)] == [
        ("first", ()),
        ("second", (("a", "b"),)),
    ]


def test_a_listed_result_does_not_need_what_is_under_its_layers() -> None:
    listed = CacheRecord("r", (), (CacheResult((1, 2), time(1), listed=True),))
    config = CacheConfig((CacheLayer("base"), CacheLayer("a", 0), CacheLayer("b", 0)), (listed,))
    assert without_blobs(config, {"base"}).results(0) == (("a", "b"),)
    assert without_blobs(config, {"base"}).blobs() == ("a", "b")


def test_layers_that_no_result_needs_are_left_out() -> None:
    assert unite([CacheConfig((CacheLayer("a"),), (CacheRecord("r"),))]) == CacheConfig((), (CacheRecord("r"),))


def test_real_configs_unite_to_all_that_they_hold() -> None:
    one, other = (CacheConfig.from_json(real(name)["config"]) for name in ("three", "twin"))
    union = unite([one, other])
    assert _results(union) == _results(one) | _results(other)
    assert len(union.records) < len(one.records) + len(other.records), "the base image's keys are the same"
