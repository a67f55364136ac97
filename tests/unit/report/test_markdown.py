from __future__ import annotations

import html
import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from layercache_ci.report.markdown import MOST, headline, job_summary, saved_line
from layercache_ci.report.model import Reason, Report, Seconds, StageReport, StepReport

KEY = "0123456789ab" + "0" * 52
BASE = StepReport(0, "FROM", "FROM a", 1, 1, KEY, None, bytes_restored=2_000_000)
HIT = StepReport(
    1, "RUN", "RUN make |\n  tee log", 2, 3, KEY, "hit", "hit", "store", bytes_restored=5_000_000, built_seconds=61.0
)
MISS = StepReport(
    2, "COPY", "COPY src /src", 4, 4, KEY, "miss", "miss", None, Reason("file-changed", "src/main.py changed"), 0.5
)
LAST = StepReport(1, "COPY", "COPY --from=build /a /a", 7, 7, KEY, "miss", "miss", None,
                  Reason("source-changed", "the stage that it takes from changed"), 0.1)  # fmt: skip
UNUSED = StepReport(1, "RUN", "RUN test", 6, 6, None, "skipped", "skipped")
REPORT = Report(
    engine="buildah",
    engine_version="1.28.2",
    transport="image store",
    stages=(
        StageReport(0, "build", (BASE, HIT, MISS)),
        StageReport(1, "test", (BASE, UNUSED), needs=(0,)),
        StageReport(2, "2", (BASE, LAST), needs=(0,)),
    ),
    bytes_restored=7_000_000,
    bytes_saved=1_500_000,
    seconds=Seconds(0.15, 0.1, 0.8, 3.0, 0.4, 3.7),
    warnings=("the tier is full",),
)
SHORT = """\
### layercache: 1 of 3 steps hit, 7.0 MB restored, 3.7 s in all

**60.2 s saved**: the steps that hit took 61.0 s when they were built, restoring them 0.8 s.

What the cache could not do:

```text
the tier is full
```

- missed from line 4 on (<code>build</code>): <code>COPY src /src</code>: src/main.py changed
- missed from line 7 on (<code>2</code>): <code>COPY --from=build /a /a</code>: the stage that it takes from changed
"""
FULL = """\
```mermaid
flowchart LR
  s0["build<br/>1 of 2 hit"]:::partly
  s1["test<br/>no step ran"]:::skipped
  s2["2<br/>0 of 1 hit"]:::miss
  s0 --> s1
  s0 --> s2
  classDef partly fill:#fff8c5,stroke:#9a6700,color:#1f2328
  classDef skipped fill:#eaeef2,stroke:#6e7781,color:#1f2328,stroke-dasharray:4 3
  classDef miss fill:#ffebe9,stroke:#cf222e,color:#1f2328
```

#### 🟨 <code>build</code>

| line | step | outcome | why | restored | seconds |
| --: | :-- | :-- | :-- | --: | --: |
| 1 | <code>FROM a</code> |  |  | 2.0 MB |  |
| 2 | <code>RUN make &#124; tee log</code> | 🟩 hit (store) |  | 5.0 MB |  |
| 4 | <code>COPY src /src</code> | 🟥 miss | src/main.py changed |  | 0.5 |

#### 🟥 <code>2</code>

| line | step | outcome | why | restored | seconds |
| --: | :-- | :-- | :-- | --: | --: |
| 1 | <code>FROM a</code> |  |  | 2.0 MB |  |
| 7 | <code>COPY --from=build /a /a</code> | 🟥 miss | the stage that it takes from changed |  | 0.1 |

Not built: <code>test</code>

<details><summary>Plan and settings</summary>
"""

PIECES = (
    "|", "\\|", "`", "```", "\n", "\r\n", "</details>", "</code>", "<img src=x onerror=alert(1)>", "](javascript:x)",
    "![x](https://e.vil/p)", '"]', '"', "#quot;", "#", ";", "-->", "<!--", "::error::x", "\x1b[31m", "\x00", "\u202e",
    "\u2028", "\udc80", "@everyone", "#1", "https://e.vil", "www.e.vil", "end", "%%{init: {}}%%", "$x$", "&lt;",
    "~~~", "    ", "---", "classDef x:y#;", "style a:b#c;", "é", "🙂",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=30).map("".join)
STEPS = st.builds(
    StepReport,
    index=st.integers(0, 9),
    instruction=HOSTILE,
    text=HOSTILE,
    start_line=st.integers(1, 9),
    end_line=st.integers(1, 9),
    key=st.none() | st.just(KEY),
    predicted=st.sampled_from([None, "hit", "miss", "skipped", "unknown"]),
    outcome=st.sampled_from([None, "hit", "miss", "skipped"]),
    source=st.sampled_from([None, "store", "engine"]),
    reason=st.none() | st.builds(Reason, st.just("gone"), HOSTILE),
    seconds=st.none() | st.floats(0, 1e6),
    built_seconds=st.none() | st.floats(0, 1e6),
)
STAGES = st.lists(st.tuples(HOSTILE, st.lists(STEPS, min_size=1, max_size=4).map(tuple)), max_size=5)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    stages = draw(STAGES)
    return Report(
        engine="buildkit",
        engine_version=draw(HOSTILE),
        transport=None,
        exit_code=draw(st.integers(0, 255)),
        saved=draw(st.booleans()),
        stages=tuple(
            StageReport(index, name, steps, tuple(range(index))) for index, (name, steps) in enumerate(stages)
        ),
        warnings=tuple(draw(st.lists(HOSTILE, max_size=3))),
    )


def test_the_short_one_says_what_came_of_it_and_what_missed_first() -> None:
    assert job_summary(REPORT, detail="short") == SHORT


def test_the_full_one_has_every_step_the_picture_and_what_is_folded_away() -> None:
    text = job_summary(REPORT, detail="full", settings={"engine": "buildah", "store": "s3://bucket"})
    head, rest = text.split("```mermaid", 1)
    assert head == SHORT.split("- missed", maxsplit=1)[0]
    assert "```mermaid" + rest.split("\nbuildah")[0] == FULL
    assert "| 4 | <code>build</code> <code>COPY</code> | miss | miss | <code>0123456789ab</code> |\n" in rest
    assert rest.endswith("```text\nengine: buildah\nstore: s3://bucket\n```\n\n</details>\n")


def test_a_cache_that_cost_more_than_it_gave_says_so() -> None:
    slow = Report("buildah", "1", None, stages=REPORT.stages, seconds=Seconds(restore=70))
    assert "**9.0 s lost**: the steps that hit took 61.0 s" in job_summary(slow, detail="short")
    assert "lost" not in job_summary(Report("buildah", "1", None), detail="short")


def test_headlines_of_a_failure_and_of_a_save() -> None:
    failed = Report("buildah", "1", None, exit_code=7, failed_in="engine")
    assert headline(failed) == "layercache: the build failed with exit code 7, no step was counted, 0.0 s in all"
    assert saved_line(failed) == "layercache: the save did not come to its end"
    assert saved_line(replace(failed, saved=False)) == "layercache: nothing was saved"
    assert saved_line(replace(failed, saved=False, bytes_saved=1)) == "layercache: not everything was saved"
    saved = Report("buildah", "1", None, saved=True, bytes_saved=4_500_000, seconds=Seconds(save=1.25))
    assert saved_line(saved) == "layercache: 4.5 MB saved in 1.2 s"


@settings(max_examples=40, deadline=None)
@given(reports(), st.dictionaries(HOSTILE, HOSTILE, max_size=3))
def test_no_text_is_ever_markup(report: Report, given_settings: dict[str, str]) -> None:
    """What is left of it without our own markup is text: tables keep their columns, fences and tags their pairs."""
    text = job_summary(report, detail="full", settings=given_settings)
    text.encode()
    outside, fences = [], 0
    mark = None
    for line in text.split("\n"):
        if mark is None and (found := re.match(r"(`{3,})(text|mermaid)$", line)):
            mark, fences = found[1], fences + 1
        elif mark is not None:
            mark = None if line == mark else mark
        else:
            outside.append(line)
    assert mark is None
    assert fences == bool(report.warnings) + bool(given_settings) + (len(report.stages) > 1)
    for line in outside:
        if line.startswith("| "):
            assert line.count("|") in {6, 7}
        tags = re.findall(r"<[^>]*>", line)
        assert set(tags) <= {"<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>"}
        assert tags.count("<code>") == tags.count("</code>")
        plain = re.sub(r"&#\d+;", "", re.sub(r"<[^>]*>", "", line))
        assert not re.search(r"[\[\]`\\<&@\x00-\x1f\x7f]|://|www\.", plain), line
    assert "\n".join(outside).count("<details>") == 1
    assert outside[-2:] == ["</details>", ""]


@settings(max_examples=40, deadline=None)
@given(reports())
def test_the_picture_has_one_node_for_each_stage_and_no_line_of_another_kind(report: Report) -> None:
    text = job_summary(report, detail="full")
    if len(report.stages) < 2:
        assert "```mermaid" not in text
        return
    lines = text.split("```mermaid\n")[1].split("\n```")[0].split("\n")
    nodes = [line for line in lines if re.fullmatch(r'  s\d+\["[A-Za-z0-9 #;/.\-]*<br/>[a-z0-9 ]+"\]:::[a-z]+', line)]
    edges = [line for line in lines if re.fullmatch(r"  s\d+ --> s\d+", line)]
    styles = [line for line in lines if re.fullmatch(r"  classDef [a-z]+ [^;]+", line)]
    assert len(nodes) == len(report.stages)
    assert len(edges) == sum(len(stage.needs) for stage in report.stages)
    assert lines == ["flowchart LR", *nodes, *edges, *styles]


@settings(max_examples=5, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 4000), st.sampled_from(["x", "|", "\U0010ffff", "🙂", "`", " y"]),
    st.integers(1, 1500), st.sampled_from(["short", "full"]),
)  # fmt: skip
def test_it_is_never_too_long_for_github(stages: int, steps: int, letter: str, length: int, detail: str) -> None:
    step = StepReport(
        1, letter * length, letter * length, 2, 2, KEY, "miss", "miss", None, Reason("gone", letter * length)
    )
    each = max(1, steps // stages)
    report = Report(
        engine="buildkit",
        engine_version=letter * length,
        transport=None,
        stages=tuple(
            StageReport(index, letter * length, (step,) * each, tuple(range(min(index, 4)))) for index in range(stages)
        ),
        warnings=(letter * length,) * stages,
    )
    given_settings = {f"{index}{letter * length}": letter * length for index in range(stages)}
    text = job_summary(report, detail="full" if detail == "full" else "short", settings=given_settings)
    assert len(text.encode()) <= MOST
    assert len(headline(report)) < 200
    if detail == "full":
        tables = text.split("<details>")[0]
        shown = len(re.findall(r"^\| 2 \|", tables, re.MULTILINE))
        left_out = re.search(r"^(\d+) more steps are left out", tables, re.MULTILINE)
        assert shown + (int(left_out[1]) if left_out else 0) == stages * each


def test_character_references_say_what_the_dockerfile_says() -> None:
    words = "RUN a|b `c` <d> \\| \"e\" 'f' #1 @me :x: https://g www.h"
    step = StepReport(1, "RUN", words, 2, 2, KEY, "hit", "hit", "store")
    text = job_summary(Report("buildah", "1", None, stages=(StageReport(0, "0", (step,)),)), detail="full")
    shown = re.search(r"^\| 2 \| <code>(.*?)</code>", text, re.MULTILINE)
    assert shown is not None
    assert html.unescape(shown[1]) == words
