from __future__ import annotations

import json
from pathlib import Path

from benchmarks.bench import same_work
from benchmarks.buildah import built_steps
from benchmarks.measure import Cost
from benchmarks.table import BEGIN, END, Row, warm_table, write
from tests.lab.summary import Missed, Summary, side_by_side

OUTPUT = """[1/2] STEP 1/2: FROM base AS one
[1/2] STEP 2/2: RUN true
--> Using cache 0123
[2/2] STEP 1/4: FROM base
[2/2] STEP 2/4: COPY a b
--> Cache pulled from remote 127.0.0.1:1/cache:0123
--> Using cache 0123
[2/2] STEP 3/4: RUN echo STEP 4/4
--> 4567
[2/2] STEP 4/4: CMD ["x"]
[2/2] COMMIT app
"""


def test_built_steps_are_those_that_no_cache_had() -> None:
    single_stage = "STEP 1/3: FROM scratch\nSTEP 2/3: COPY a b\n--> Using cache 0\nSTEP 3/3: COPY c d\n--> 1\n"

    assert built_steps(OUTPUT) == 2
    assert built_steps(single_stage) == 1


def test_ratios_are_against_the_baseline_of_the_same_engine() -> None:
    rows = [
        Row("one", "ours", (Cost(2.0, 1.0), Cost(3.0, 1.0), Cost(40.0, 1.0)), (3, 3, 3)),
        Row("one", "theirs", (Cost(6.0, 4.0),), (3,)),
        Row("two", "theirs", (Cost(1.0, 1.0),), (3,)),
    ]

    assert (
        warm_table(rows, {"one": "theirs", "two": "theirs"}).splitlines()[2]
        == "| one | ours | 3.0 (2.0-40.0) | 1.0 | 0.50 | 0.25 | 3 |"
    )


def test_the_cpu_of_a_daemon_is_not_told() -> None:
    rows = [Row("one", "ours", (Cost(3.0, 1.0),), (3,), cpu=False), Row("one", "theirs", (Cost(6.0, 4.0),), (3,))]

    assert warm_table(rows, {"one": "theirs"}).splitlines()[2] == "| one | ours | 3.0 (3.0-3.0) | - | 0.50 | - | 3 |"


def test_times_compare_only_where_the_same_steps_were_built() -> None:
    ours, theirs = (Cost(2.0, 1.0), Cost(2.0, 1.0)), (Cost(6.0, 4.0),)

    assert same_work([Row("one", "ours", ours, (5, 5)), Row("one", "theirs", theirs, (5,))], "one")
    assert not same_work([Row("one", "ours", ours, (5, 6)), Row("one", "theirs", theirs, (5,))], "one")


def test_the_table_replaces_what_is_between_the_markers_only(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# Speed\n\nbefore\n{BEGIN}\nold\n{END}\nafter\n")
    write(document, "new")

    assert document.read_text() == f"# Speed\n\nbefore\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_a_document_without_markers_gets_them_at_its_end(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    write(document, "one")
    write(document, "two")

    assert document.read_text() == f"# Performance\n\n{BEGIN}\n\ntwo\n\n{END}\n"


def test_a_report_becomes_a_column(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    step = {"text": "COPY src src", "outcome": "miss", "reason": {"code": "file", "detail": "src/main.py changed"}}
    skipped = {"text": "RUN make", "outcome": "skipped", "reason": None}
    seconds = {"plan": 0.1, "restore": 1.25, "build": 3.0, "save": 0.5, "total": 6.85}
    totals = {"steps": 8, "hits": 7, "bytes_restored": 258_000_000, "bytes_saved": 1_000, "seconds": seconds}
    report.write_text(json.dumps({"stages": [{"steps": [step, skipped]}], "totals": totals}))
    summary = Summary.read("changed", report)
    table = side_by_side([summary]).splitlines()

    assert summary.misses == (Missed("COPY src src", "src/main.py changed"),)
    assert next(line for line in table if "made whole" in line).split()[-2:] == ["3.0", "s"]
    assert [line.split("  ")[-1].strip() for line in table if "cache" in line] == ["7 of 8", "258.0 MB", "0.0 MB"]
