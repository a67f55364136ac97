"""GitLab CI, by its predefined variables (docs.gitlab.com/ci/variables/predefined_variables)."""

from __future__ import annotations

from layercache_ci.ci.run import Environment, Run, branch, tag


def gitlab(environment: Environment) -> Run | None:
    """The pipeline of a merge request that comes from another project is a fork's, whichever project it runs in."""
    if environment.get("GITLAB_CI") != "true":
        return None
    default = branch(environment.get("CI_DEFAULT_BRANCH"))
    number = environment.get("CI_MERGE_REQUEST_IID")
    if not number:
        own = tag(environment.get("CI_COMMIT_TAG")) or branch(environment.get("CI_COMMIT_REF_NAME"))
        return Run("GitLab CI", own, (default,))
    target = branch(environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"))
    source = environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID")
    fork = source != environment.get("CI_MERGE_REQUEST_PROJECT_ID")
    denied = "it is a fork's merge request" if fork else None
    return Run("GitLab CI", f"refs/merge-requests/{number}/head", (target, default), denied)
