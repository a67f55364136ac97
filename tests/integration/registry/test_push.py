"""Uploads to a registry that runs, in all the ways that the distribution spec has."""

from __future__ import annotations

import hashlib
import json
import random
from concurrent.futures import ThreadPoolExecutor

from layercache_ci.registry.client import Registry
from tests.integration.registry.conftest import Ask

DATA = random.Random(7).randbytes(3 << 20)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def pieces_of(data: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(1, len(data)) for _ in range(7))
    return [data[first:last] for first, last in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def location(ask: Ask) -> str:
    answer = ask("POST", "/v2/some/app/blobs/uploads/")
    assert answer.status == 202
    return answer.headers["Location"]


def upload_chunked(ask: Ask, seed: int) -> int:
    where, at = location(ask), 0
    for piece in pieces_of(DATA, seed):
        answer = ask("PATCH", where, piece, {"Content-Range": f"{at}-{at + len(piece) - 1}"})
        at += len(piece)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{at - 1}")
        where = answer.headers["Location"]
    return ask("PUT", f"{where}?digest={DIGEST}").status


def held(registry: Registry) -> bool:
    path = registry.uploaded(DIGEST)
    return path is not None and path.read_bytes() == DATA


def test_chunks(registry: Registry, ask: Ask) -> None:
    assert upload_chunked(ask, 1) == 201
    assert held(registry)


def test_one_request(registry: Registry, ask: Ask) -> None:
    answer = ask("POST", f"/v2/some/app/blobs/uploads/?digest={DIGEST}", DATA)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, DIGEST)
    assert ask("GET", answer.headers["Location"]).data == DATA
    assert held(registry)


def test_a_stream_with_the_rest_in_the_last_request(registry: Registry, ask: Ask) -> None:
    where = location(ask)
    assert ask("PATCH", where, iter(pieces_of(DATA[:-1000], 2)), streamed=True).status == 202
    assert ask("PUT", f"{where}?digest={DIGEST}", DATA[-1000:]).status == 201
    assert held(registry)


def test_several_streams_on_one_connection(registry: Registry, ask: Ask) -> None:
    """The end of a chunked body must not be taken for the next request."""
    import http.client

    from tests.integration.registry.conftest import authorization

    connection = http.client.HTTPConnection(registry.access.addresses[0], timeout=30)
    where = location(ask)
    for piece in (DATA[: 1 << 20], DATA[1 << 20 :]):
        connection.request("PATCH", where, iter([piece]), authorization(registry.access), encode_chunked=True)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
    connection.close()
    assert ask("PUT", f"{where}?digest={DIGEST}").status == 201
    assert held(registry)


def test_two_uploads_of_one_blob_at_once(registry: Registry, ask: Ask) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda seed: upload_chunked(ask, seed), (3, 4))) == [201, 201]
    assert held(registry)


def test_a_wrong_digest_and_a_chunk_out_of_order_are_refused(registry: Registry, ask: Ask) -> None:
    where = location(ask)
    assert ask("PATCH", where, DATA[10:20], {"Content-Range": "10-19"}).status == 416
    assert ask("PATCH", where, DATA[:10], {"Content-Range": "0-10"}).status == 416
    assert ask("GET", where).headers["Range"] == "0-0"
    answer = ask("PUT", f"{where}?digest={DIGEST}", DATA[:-1])
    assert answer.status == 400
    assert json.loads(answer.data)["errors"][0]["code"] == "DIGEST_INVALID"
    assert registry.uploaded(DIGEST) is None
    assert ask("GET", f"/v2/some/app/blobs/{DIGEST}").status == 404


def test_an_upload_that_is_cancelled_is_gone(ask: Ask) -> None:
    where = location(ask)
    answer = ask("DELETE", where)
    assert (answer.status, answer.headers["Content-Length"]) == (204, None)
    assert ask("PATCH", where, b"x").status == 404


def test_a_blob_is_mounted_where_it_is_held(registry: Registry, ask: Ask) -> None:
    mount = f"/v2/another/app/blobs/uploads/?mount={DIGEST}&from=some/app"
    assert ask("POST", mount).status == 202
    registry.put_blob("some/app", DATA, "x")
    answer = ask("POST", mount)
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/another/app/blobs/{DIGEST}")


def test_manifests_and_tags(registry: Registry, ask: Ask) -> None:
    media_type = "application/vnd.oci.image.index.v1+json"
    data = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": []}).encode()
    digest = registry.put_manifest("some/app", "b", data, media_type)
    for tag in ("a", "c"):
        assert ask("PUT", f"/v2/some/app/manifests/{tag}", data, {"Content-Type": media_type}).status == 201
    assert registry.manifest("some/app", "c") == data
    assert registry.manifest("some/app", "d") is None
    answer = ask("HEAD", f"/v2/some/app/manifests/{digest}")
    assert (answer.status, answer.headers["Content-Type"], answer.headers["Content-Length"]) == (
        200,
        media_type,
        str(len(data)),
    )
    page = ask("GET", "/v2/some/app/tags/list?n=2")
    assert json.loads(page.data) == {"name": "some/app", "tags": ["a", "b"]}
    assert page.headers["Link"] == '</v2/some/app/tags/list?n=2&last=b>; rel="next"'
    assert json.loads(ask("GET", "/v2/some/app/tags/list?n=2&last=b").data)["tags"] == ["c"]


def test_a_manifest_that_is_none_is_refused(ask: Ask) -> None:
    for data in (b"{", b"[]"):
        answer = ask("PUT", "/v2/some/app/manifests/a", data)
        assert answer.status == 400
        assert json.loads(answer.data)["errors"][0]["code"] == "MANIFEST_INVALID"
    assert ask("PUT", f"/v2/some/app/manifests/sha256:{'0' * 64}", b"{}").status == 400


def test_only_tags_that_a_builder_asked_for_count(registry: Registry, ask: Ask) -> None:
    registry.put_manifest("some/app", "a", b"{}", "x")
    registry.manifest("some/app", "a")
    assert (registry.status().requests, registry.status().asked) == (0, frozenset())
    assert ask("GET", "/v2/some/app/manifests/a").status == 200
    assert ask("HEAD", "/v2/some/app/manifests/missing").status == 404
    address = registry.access.addresses[0]
    assert registry.status().asked == {f"{address} some/app:a", f"{address} some/app:missing"}
    assert registry.status().requests == 2
