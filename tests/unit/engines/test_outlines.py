"""What a report says of the stages that nothing was planned of."""

from __future__ import annotations

from pathlib import Path

from layercache_ci.dockerfile.plan import BaseImage
from layercache_ci.engines.outlines import skipped_stage
from tests.unit.engines.buildkit.plans import planned

DOCKERFILE = """\
FROM image AS first
FROM image AS second
FROM first AS unneeded
ENV A=1
COPY --from=second /a /a
RUN --mount=from=nonsense,type=wrong true
FROM image
"""


def test_a_stage_that_is_not_needed_names_what_it_would_need(tmp_path: Path) -> None:
    plan = planned(tmp_path / "context", DOCKERFILE, images={"image": BaseImage("image", "id")})
    stage = plan.graph.stages[2]

    skipped = skipped_stage(plan.graph, stage, {"COPY", "RUN"})

    assert skipped.needs == (0, 1)
    assert [step.outcome for step in skipped.steps] == [None, None, "skipped", "skipped"]
    assert [step.outcome for step in skipped_stage(plan.graph, stage).steps] == [None, "skipped", "skipped", "skipped"]
