from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.store.github.client import LONGEST_KEY, MOST_KEYS
from layercache_ci.store.github.keys import (
    attempt_of,
    chain_prefix,
    entry_key,
    is_record_key,
    probes,
    stage_key,
    stage_parts,
    stage_prefix,
)

keys = st.one_of(st.text(max_size=20), st.binary(min_size=32, max_size=32).map(bytes.hex))
chains = st.lists(keys, min_size=1, max_size=200)


@given(st.text(), chains, st.integers(0, 99))
def test_a_key_is_one_that_every_service_takes(namespace: str, chain: list[str], attempt: int) -> None:
    key = entry_key(chain_prefix(namespace, chain), attempt)
    assert len(key) <= LONGEST_KEY
    assert key == key.lower()
    assert "," not in key
    assert is_record_key(key)
    assert attempt_of(key, chain_prefix(namespace, chain)) == attempt


@given(chains, st.data())
def test_a_shorter_chain_is_a_prefix_within_a_segment(chain: list[str], data: st.DataObject) -> None:
    start = (len(chain) - 1) // 56 * 56
    depth = data.draw(st.integers(start + 1, len(chain)))
    whole, part = chain_prefix("n", chain), chain_prefix("n", chain[:depth])
    assert whole.startswith(part)
    assert (attempt_of(entry_key(whole, 3), part) == 3) == (depth == len(chain))


def test_step_keys_can_be_read_off_the_key() -> None:
    assert chain_prefix("n", ["0123456789abcdef" * 4, "f" * 64]).endswith("-01234567ffffffff")


@given(st.text(), st.text(), st.integers(0, 1 << 24), st.binary(min_size=32, max_size=32))
def test_a_stages_key(namespace: str, stage: str, count: int, identity: bytes) -> None:
    key = stage_key(namespace, stage, min(count, (1 << 24) - 1), identity.hex())
    assert key.startswith(stage_prefix(namespace, stage))
    assert stage_parts(key) == (min(count, (1 << 24) - 1), identity.hex()[:16])
    assert not is_record_key(key)


@given(st.integers(0, 200), st.integers(0, 200))
def test_probes(low: int, size: int) -> None:
    asked = probes(low, low + size)
    assert len(asked) <= MOST_KEYS
    assert asked == sorted(set(asked), reverse=True)
    if size:
        assert (asked[0], asked[-1]) == (low + size, low + 1)
