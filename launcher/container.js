// Where a runner has no Python: the image of the action's own Dockerfile, which builds through the runner's daemon.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { spawnSync } = require("node:child_process");
const { which } = require("./python.js");
const { ACTION, isSetup, run, say } = require("./runner.js");

const UNIX = "unix://";
const PARTS = ["Dockerfile", "requirements/runtime.txt"];
const ANOTHER_ENGINE = ["IMAGE", "CONTAINERFILES", "DOCKERFILES"];
// The image has its own; the rest of the environment is the step's.
const OF_THE_MACHINE = /^(PATH|HOSTNAME|SHELL|PWD|OLDPWD|SHLVL|_|(LD|PYTHON|NODE)_?.*)$/;

/** The name of the image, where a daemon answers and the step asks for no other engine; else undefined. */
function image(environment) {
  const input = (name) => (environment[`INPUT_${name}`] || "").trim();
  if (process.platform !== "linux" || !["", "auto", "buildkit"].includes(input("ENGINE"))) return undefined;
  if (isSetup(environment)) return undefined; // what it puts on PATH runs on the machine
  const docker = which("docker", environment);
  if (!docker || ANOTHER_ENGINE.some(input)) return undefined;
  if (spawnSync(docker, ["version"], { env: environment, stdio: "ignore" }).status !== 0) return undefined;
  const hash = crypto.createHash("sha256");
  for (const part of PARTS) hash.update(fs.readFileSync(path.join(ACTION, part)));
  return `layercache-action:${hash.digest("hex").slice(0, 12)}`;
}

/** Builds the image unless it is there, and runs a stage of the action in it; resolves to the stage's exit code. */
async function runInContainer(stage, tag, environment) {
  const docker = which("docker", environment);
  if (spawnSync(docker, ["image", "inspect", tag], { env: environment, stdio: "ignore" }).status !== 0) {
    say(`no Python 3.11 or newer with pip is on this runner: building ${tag} to run in`);
    const built = await run(docker, ["build", "--quiet", "--tag", tag, ACTION], environment);
    if (built !== 0) throw new Error("the image to run in can't be built; add `uses: actions/setup-python` instead");
  }
  say(`no Python 3.11 or newer with pip is on this runner: running in ${tag}`);
  const names = Object.keys(environment).filter((name) => !OF_THE_MACHINE.test(name));
  const options = [
    "--rm",
    "--init",
    "--network=host",
    `--workdir=${process.cwd()}`,
    `--volume=${ACTION}:${ACTION}:ro`,
    ...mounts(environment).map((place) => `--volume=${place}:${place}`),
    ...names.map((name) => `--env=${name}`),
    "--entrypoint=python3",
  ];
  // a container ends with its first process: what would be saved while later steps run is saved before
  const given = { ...environment, INPUT_WAIT: "true" };
  return run(docker, ["run", ...options, "--env=INPUT_WAIT", tag, path.join(ACTION, "entrypoint.py"), stage], given);
}

/** What the step reads and writes, each where it is on the machine. */
function mounts(environment) {
  const host = environment.DOCKER_HOST || `${UNIX}/var/run/docker.sock`;
  const files = ["GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_ENV", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH"];
  const folders = [
    host.startsWith(UNIX) && host.slice(UNIX.length),
    environment.GITHUB_WORKSPACE || process.cwd(),
    environment.RUNNER_TEMP,
    environment.DOCKER_CONFIG || (environment.HOME && path.join(environment.HOME, ".docker")),
    ...files.map((name) => environment[name] && path.dirname(environment[name])),
  ];
  return [...new Set(folders)].filter((place) => place && path.isAbsolute(place) && fs.existsSync(place));
}

module.exports = { image, runInContainer };
