// Where a runner has no Python: the image of the action's own Dockerfile, which builds through the runner's daemon.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawnSync } = require("node:child_process");
const { isIn, named } = require("./places.js");
const { which } = require("./python.js");
const { ACTION, isSetup, run, say } = require("./runner.js");

const UNIX = "unix://";
const PARTS = ["Dockerfile", "requirements/runtime.txt"];
const ANOTHER_ENGINE = ["IMAGE", "CONTAINERFILES", "DOCKERFILES"];
const PACKAGES = "/opt/layercache/packages"; // of the image, whose tag says for which lock
// The image has its own; the rest of the environment is the step's, for build-args and secret-envs too. With a _ behind
// PYTHON hardly any is Python's.
const OF_THE_MACHINE = /^(PATH|HOSTNAME|SHELL|PWD|OLDPWD|SHLVL|_|LD_.*|PYTHON[A-Z0-9]*|PYTHON_GIL|NODE_OPTIONS)$/;

/** The name of the image, where a daemon answers and the step asks for no other engine; else undefined. */
function image(environment) {
  const input = (name) => (environment[`INPUT_${name}`] || "").trim();
  if (process.platform !== "linux" || !["", "auto", "buildkit"].includes(input("ENGINE"))) return undefined;
  if (isSetup(environment)) return undefined; // what it puts on PATH runs on the machine
  const docker = which("docker", environment);
  if (!docker || ANOTHER_ENGINE.some(input)) return undefined;
  if (spawnSync(docker, ["version"], { env: environment, stdio: "ignore" }).status !== 0) return undefined;
  if (!volumes(docker, environment).whole) return undefined;
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
  // a container ends with its first process: what would be saved while later steps run is saved before
  const given = forShells({ ...environment, HOME: home(environment), INPUT_WAIT: "true" });
  const names = Object.keys(given).filter((name) => !OF_THE_MACHINE.test(name));
  const options = [
    "--rm",
    "--init",
    "--network=host",
    `--workdir=${process.cwd()}`,
    ...identity(docker, environment),
    ...volumes(docker, environment).options,
    ...names.map((name) => `--env=${name}`),
    // the programs that it starts are to be of this version too, not of the one that the image was built with
    `--env=PYTHONPATH=${ACTION}:${PACKAGES}`,
    "--entrypoint=python3",
  ];
  return run(docker, ["run", ...options, tag, path.join(ACTION, "entrypoint.py"), stage], given);
}

/** With the inputs under names that a shell hands on, too (inputs.py): podman's docker command is a script of sh. */
function forShells(environment) {
  const inputs = Object.entries(environment).filter(([name]) => name.startsWith("INPUT_"));
  return { ...Object.fromEntries(inputs.map(([name, value]) => [name.replaceAll("-", "_"), value])), ...environment };
}

/**
 * The options that make a container's processes the step's user: what they write is his, whose own docker commands come
 * next. A rootless daemon's root is that user.
 */
function identity(docker, environment) {
  if (isRoot()) return [];
  const asked = spawnSync(docker, ["info", "--format={{.SecurityOptions}}"], { env: environment, encoding: "utf8" });
  if (/\bname=rootless\b/.test(asked.stdout)) return [];
  const daemon = socket(environment);
  const groups = [...process.getgroups(), ...(daemon && fs.existsSync(daemon) ? [fs.statSync(daemon).gid] : [])];
  return [`--user=${process.getuid()}:${process.getgid()}`, ...new Set(groups.map((group) => `--group-add=${group}`))];
}

function isRoot() {
  return process.getuid() === 0;
}

function home(environment) {
  return environment.HOME || os.homedir();
}

/** The daemon's, where it has one. */
function socket(environment) {
  const host = environment.DOCKER_HOST || `${UNIX}/var/run/docker.sock`;
  return host.startsWith(UNIX) ? host.slice(UNIX.length) : undefined;
}

/**
 * The `options` that give a container what the step reads and writes, each where it is here, and whether that is the
 * `whole` of it: in a container job that daemon has other paths, and only what the job's container got of it can be
 * handed on.
 */
function volumes(docker, environment) {
  const own = ownContainer(docker, environment);
  const folders = mounts(environment);
  const more = named(environment, home(environment), own ? [...folders, ...own.volumes] : folders);
  if (own) {
    const held = (place) => own.volumes.some((volume) => isIn(place, volume));
    const places = [ACTION, ...folders, ...more.map(({ place }) => place)];
    return { options: [`--volumes-from=${own.id}`], whole: places.every(held) };
  }
  const others = folders.filter((place) => place !== ACTION).map((place) => bind(place, false));
  const action = bind(ACTION, others.length === folders.length);
  return { options: [action, ...others, ...more.map((each) => bind(each.place, each.readonly))], whole: true };
}

/** The option for a place of any name: it is read as CSV. */
function bind(place, readonly) {
  const field = (name) => (/[",\r\n]/.test(place) ? `"${name}=${place.replace(/"/g, '""')}"` : `${name}=${place}`);
  return `--mount=type=bind,${field("source")},${field("target")}${readonly ? ",readonly" : ""}`;
}

/** `{id, volumes}` of the container that we are in, where it is one of this daemon's; else undefined. */
function ownContainer(docker, environment) {
  const mounted = /\/containers\/([0-9a-f]{64})\/hostname/.exec(fs.readFileSync("/proc/self/mountinfo", "utf8"));
  const id = mounted ? mounted[1] : os.hostname();
  if (!/^[0-9a-f]{12,64}$/.test(id)) return undefined;
  const format = "--format={{range .Mounts}}{{println .Destination}}{{end}}";
  const asked = spawnSync(docker, ["container", "inspect", format, id], { env: environment, encoding: "utf8" });
  return asked.status === 0 ? { id, volumes: asked.stdout.split("\n").filter(Boolean) } : undefined;
}

/** What any step reads and writes, but for the action itself. */
function mounts(environment) {
  const files = [
    "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_ENV", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
  ];
  // root makes in the container what is not there; others can't
  if (!isRoot()) ofDocker(environment).forEach(made);
  const folders = [
    socket(environment),
    environment.GITHUB_WORKSPACE || process.cwd(),
    environment.RUNNER_TEMP,
    path.join(home(environment), ".aws"),
    ...files.map((name) => environment[name] && path.dirname(environment[name])),
    ...ofDocker(environment),
    ...kept(environment).filter(made),
  ];
  return [...new Set(folders)].filter((place) => place && path.isAbsolute(place) && fs.existsSync(place));
}

/** Where docker has its logins, and buildx its builders. */
function ofDocker(environment) {
  return [environment.DOCKER_CONFIG || path.join(home(environment), ".docker"), environment.BUILDX_CONFIG].filter(Boolean);
}

/**
 * The folders of a local store and of a tier (layercache_ci/store, and settings.py for how they are written). What is on
 * its way to other stores lies in the local one's.
 */
function kept(environment) {
  const input = (name) => (environment[`INPUT_${name}`] || "").trim();
  const store = input("STORE");
  const cache = path.join(environment.XDG_CACHE_HOME || path.join(home(environment), ".cache"), "layercache");
  const tier = (input("TIER") || environment.LAYERCACHE_TIER || "").replace(/:\s*\d+(\.\d+)?\s*[kmgt]?i?b?\s*$/i, "");
  const named = [store.startsWith("local:") && store.slice("local:".length), tier].filter(Boolean);
  const folders = named.map((name) => path.resolve(name.replace(/^~(?=\/|$)/, home(environment))));
  return ["", "local"].includes(store) || !isRoot() ? [cache, ...folders] : folders;
}

/** Whether the folder is there, now. */
function made(folder) {
  try {
    fs.mkdirSync(folder, { recursive: true });
    return true;
  } catch {
    return false; // whoever writes there says so
  }
}

module.exports = { image, runInContainer };
