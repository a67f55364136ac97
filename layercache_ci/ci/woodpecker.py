"""Woodpecker and Drone: the same variables under two prefixes (woodpecker-ci.org/docs/usage/environment).

Neither tells a fork's pull request from another. Each has a scope of its own, which nothing else reads.
"""

from __future__ import annotations

from layercache_ci.ci.run import Environment, Run, branch


def woodpecker(environment: Environment) -> Run | None:
    if environment.get("CI") != "woodpecker":
        return None
    return _run(
        "Woodpecker",
        environment,
        ref="CI_COMMIT_REF",
        branch_name="CI_COMMIT_BRANCH",
        target="CI_COMMIT_TARGET_BRANCH",
        default="CI_REPO_DEFAULT_BRANCH",
    )


def drone(environment: Environment) -> Run | None:
    if environment.get("DRONE") != "true":
        return None
    return _run(
        "Drone",
        environment,
        ref="DRONE_COMMIT_REF",
        branch_name="DRONE_BRANCH",
        target="DRONE_TARGET_BRANCH",
        default="DRONE_REPO_BRANCH",
    )


def _run(system: str, environment: Environment, *, ref: str, branch_name: str, target: str, default: str) -> Run:
    own = environment.get(ref) or branch(environment.get(branch_name))
    return Run(system, own, (branch(environment.get(target)), branch(environment.get(default))))
