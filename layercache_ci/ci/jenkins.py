"""Jenkins: a multibranch job says what it builds (CHANGE_*, BRANCH_NAME), another one at most GIT_BRANCH."""

from __future__ import annotations

from layercache_ci.ci.run import Environment, Run, branch, tag


def jenkins(environment: Environment) -> Run | None:
    """The default branch is not told; what builds on it needs --read-scope."""
    if not environment.get("JENKINS_URL"):
        return None
    change = environment.get("CHANGE_ID")
    if change:
        denied = "it is a fork's change request" if environment.get("CHANGE_FORK") else None
        return Run("Jenkins", f"refs/pull/{change}/merge", (branch(environment.get("CHANGE_TARGET")),), denied)
    checked_out = environment.get("GIT_BRANCH", "").removeprefix("origin/")
    own = tag(environment.get("TAG_NAME")) or branch(environment.get("BRANCH_NAME") or checked_out)
    return Run("Jenkins", own or "default")
