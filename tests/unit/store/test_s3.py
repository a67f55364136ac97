"""What of the S3 store needs no server: names, settings, what answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from layercache_ci.errors import InputError
from layercache_ci.settings import S3Options
from layercache_ci.store.folder import folder_name
from layercache_ci.store.s3_entries import SCOPES, SEGMENT, Entry, entries_for, places, pointers, serving
from layercache_ci.store.s3_errors import explain
from layercache_ci.store.s3_settings import S3Settings

IDENTITY = "ab" * 32
chains = st.lists(st.text(max_size=3), min_size=1, max_size=3 * SEGMENT)


@given(chains, st.text(max_size=80), st.data())
def test_an_entry_is_read_from_its_name_and_no_part_of_it_is_too_long(
    keys: list[str], scope: str, data: st.DataObject
) -> None:
    steps = places("namespace", keys)
    claimed = data.draw(st.sets(st.sampled_from(steps)))
    entries = entries_for(folder_name(scope), steps, claimed, IDENTITY, 1_700_000_000_000_000)
    for entry in entries:
        assert Entry.parse(entry.name) == entry
        assert all(len(part) <= 255 for part in entry.name.split("/"))
        assert len(entry.name) < 450
    assert set(pointers(entries)) == claimed
    for place in steps:
        assert (serving(entries, place) is not None) == (place in claimed)


@given(chains, chains)
def test_places_are_shared_as_far_as_the_chains_are(first: list[str], second: list[str]) -> None:
    same = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        same += 1
    pairs = list(zip(places("n", first), places("n", second), strict=False))
    assert all(one == other for one, other in pairs[:same])
    # from there to the segment's end; a segment is found by its first key, which stands for all that came before
    rest = pairs[same : -(-same // SEGMENT) * SEGMENT] if same % SEGMENT else pairs[same : same + 1]
    assert all(one != other for one, other in rest)


def test_the_entry_written_last_serves() -> None:
    (place,) = places("n", ["a"])
    old, new = (Entry("s", place, stamp, 1, identity * 32) for stamp, identity in ((1, "ff"), (2, "00")))
    assert serving([new, old], place) == serving([old, new], place) == new
    assert pointers([new, old]) == {place: "00" * 32}


@pytest.mark.parametrize(
    "name", ["", "x", "scopes/s/chains/00/1-1-a", f"scopes/s/stages/{IDENTITY}", "scopes/s/chains/"]
)
def test_other_objects_are_no_entries(name: str) -> None:
    assert Entry.parse(name) is None
    assert Entry.parse(SCOPES + name) is None


def test_where_it_lies() -> None:
    deep = S3Settings.parse("//bucket/a/b/", S3Options())
    assert (deep.bucket, deep.prefix, deep.base, deep.location) == ("bucket", "a/b", "a/b/lc1/", "s3://bucket/a/b")
    bare = S3Settings.parse("//bucket", S3Options())
    assert (bare.base, bare.location) == ("lc1/", "s3://bucket")


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("bucket", "write s3://BUCKET or s3://BUCKET/PREFIX"),
        ("///prefix", "'' is no bucket's name"),
        ("//a b/prefix", "'a b' is no bucket's name"),
        ("//bucket/" + "x" * 501, "longer than 500 bytes"),
    ],
)
def test_a_wrong_place(rest: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        S3Settings.parse(rest, S3Options())


def test_a_wrong_endpoint() -> None:
    with pytest.raises(InputError, match="--s3-endpoint: 'minio:9000' is no URL"):
        S3Settings.parse("//bucket", S3Options(endpoint="minio:9000"))


def test_path_style_is_the_endpoints_default() -> None:
    def styled(**more: Any) -> bool:
        return S3Settings.parse("//bucket", S3Options(**more)).path_style

    assert not styled()
    assert styled(path_style=True)
    assert styled(endpoint="http://minio:9000")
    assert not styled(endpoint="http://minio:9000", path_style=False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"Error": {"Code": "AccessDenied"}}, "may not do ListObjectsV2; let the policy allow it (docs/s3.md"),
        ({"Error": {"Code": "ExpiredToken"}}, "the credentials have expired; get new ones"),
        ({"Error": {"Code": "RequestTimeTooSkewed"}}, "clock differs too much from the server's; set it"),
        ({"Error": {"Code": "SlowDown"}}, "asks for fewer requests"),
        (
            {"Error": {"Code": "AuthorizationHeaderMalformed", "Region": "eu-west-1"}},
            "in the region eu-west-1; set --s3-region",
        ),
        (
            {
                "Error": {"Code": "PermanentRedirect"},
                "ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "eu-west-3"}},
            },
            "in the region eu-west-3; set --s3-region",
        ),
        ({"Error": {"Code": "301"}}, "in another region; set --s3-region"),
        (
            {"Error": {"Code": "Odd", "Message": "no\nway"}, "ResponseMetadata": {"HTTPStatusCode": 418}},
            "ListObjectsV2 was answered 418 Odd: no way",
        ),
        ({}, "no reason was given"),
    ],
)
def test_what_an_answer_means(answer: Any, said: str) -> None:
    text = explain(ClientError(answer, "ListObjectsV2"), S3Settings.parse("//bucket/p", S3Options()))
    assert text.startswith("the store in s3://bucket/p can't be used: ")
    assert said in text
    assert "\n" not in text
