// Runners that are no Linux: the image is built with docker as it is, from build-push-action's inputs.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { contextOf, serverOf } = require("./context.js");
const { pairs, values } = require("./lists.js");
const { which } = require("./python.js");
const { addMask, fail, isSetup, runUnheard, say, setOutput, warn } = require("./runner.js");

const NAMES = { darwin: "macOS", win32: "Windows" };
const TEXTS = ["builder", "call", "cgroup-parent", "file", "network", "provenance", "sbom", "shm-size", "target"];
const FLAGS = ["load", "no-cache", "pull", "push"];
const OTHER_FLAGS = ["comment", "fail-on-miss", "keep-store", "oci", "s3-path-style", "setup", "tls-verify", "wait"];
// What they say of the image would be left out.
const BUILDAHS = [
  "image", "containerfiles", "dockerfiles", "base-image", "content", "entrypoint", "port", "workdir", "envs", "arch",
  "archs", "platform", "extra-args", "buildah-image",
];
const BOOLEAN = /^(true|True|TRUE|false|False|FALSE)?$/; // as layercache_ci/action/inputs.py takes them
const NO_IMAGE = ["type=local", "type=tar", "type=cacheonly"]; // outputs for which buildx writes no image ID
// By input its option.
const LISTS = {
  "add-hosts": "add-host",
  allow: "allow",
  annotations: "annotation",
  attests: "attest",
  "build-args": "build-arg",
  "build-contexts": "build-context",
  "cache-from": "cache-from",
  "cache-to": "cache-to",
  labels: "label",
  "no-cache-filters": "no-cache-filter",
  outputs: "output",
  platforms: "platform",
  ssh: "ssh",
  tags: "tag",
  ulimit: "ulimit",
};
const OF_GIT = ["GIT_AUTH_TOKEN", "GIT_AUTH_HEADER"]; // which BuildKit's git source looks for, with .HOST first

/** The name of a system on which there is no cache, or undefined. */
function otherSystem() {
  return NAMES[process.platform];
}

/** Builds; resolves to the exit code. */
async function buildPlainly(system, environment) {
  const input = (name) => (environment[`INPUT_${name.toUpperCase()}`] || "").trim();
  const unclear = unclearFlag(input);
  if (unclear) return fail(unclear);
  if (isSetup(environment)) {
    say(`${system}: later steps build without a cache, which there is on Linux runners only`);
    return 0;
  }
  say(`${system}: the image is built without a cache, which there is on Linux runners only`);
  const refusal = refused(input, system);
  if (refusal) return fail(refusal);
  const docker = which("docker", environment);
  if (!docker) return fail(`there is no docker on this ${system} runner; use a Linux runner`);
  const folder = fs.mkdtempSync(path.join(environment.RUNNER_TEMP || os.tmpdir(), "layercache-"));
  const files = { imageid: path.join(folder, "image-id"), metadata: path.join(folder, "metadata.json") };
  const { context, file, fill, fetches } = contextOf(input("context"), input("file"), environment);
  const secrets = secretOptions(input, fetches ? input("github-token") : "", serverOf(environment));
  const filled = (name) => (name === "file" ? file : name === "build-contexts" ? fill(input(name)) : input(name));
  const results = [`--metadata-file=${files.metadata}`];
  if (hasImage(values(input("outputs"), "outputs"))) results.unshift(`--iidfile=${files.imageid}`);
  const parameters = [...options(filled, environment), ...secrets.options, ...results, wordOf(context)];
  const command = ["buildx", "build", ...parameters];
  const code = await runUnheard(docker, command, { ...environment, ...secrets.environment });
  if (code === 0) tell(files);
  else fail(`the build failed: docker ended with exit code ${code}; its output is above`);
  return code;
}

/** A folder of any name as a word of a command line: no option. */
function wordOf(context) {
  return /^-./.test(context) ? `./${context}` : context;
}

/** What is wrong with the first flag that is none. */
function unclearFlag(input) {
  const name = [...FLAGS, ...OTHER_FLAGS].find((each) => !BOOLEAN.test(input(each)));
  return name && `${name}: '${input(name)}' is neither true nor false; write true or false`;
}

/** Why nothing is built, where inputs would be left out that say what. */
function refused(input, system) {
  if (input("config")) {
    return `config: on ${system} no file of inputs is read; write them in the workflow, or use a Linux runner`;
  }
  const other = BUILDAHS.find(input);
  return other && `${other}: on ${system} only docker builds; use a Linux runner`;
}

/** As layercache_ci/action/request.py has it. */
function hasImage(outputs) {
  const folder = outputs.some((output) => !output.includes("type="));
  return !folder && !outputs.some((output) => output.split(",").some((field) => NO_IMAGE.includes(field)));
}

function options(input, environment) {
  const texts = TEXTS.filter(input).map((name) => `--${name}=${input(name)}`);
  const flags = FLAGS.filter((name) => input(name).toLowerCase() === "true").map((name) => `--${name}`);
  const whole = (name, value) =>
    name === "cache-to" ? withToken(value, environment, input("github-token")) : value;
  const lists = Object.entries(LISTS).flatMap(([name, option]) =>
    values(input(name), name).map((value) => `--${option}=${whole(name, value)}`),
  );
  return [...texts, ...flags, ...lists];
}

/** What build-push-action adds to `cache-to` for GitHub's cache, as layercache_ci/action/gha.py has it. */
function withToken(value, environment, token) {
  const fields = new Map(value.split(",").map((field) => field.split("=").map((part) => part.trim())));
  if (fields.get("type") !== "gha") return value;
  const secret = fields.get("ghtoken") || token;
  if (secret) addMask(secret);
  const given = { repository: environment.GITHUB_REPOSITORY, ghtoken: token };
  const added = Object.entries(given).filter(([name, text]) => text && !fields.get(name));
  return [value, ...added.map((field) => field.join("="))].join(",");
}

/**
 * Values by the environment, where no other process sees them. The job's token is for its own server alone, as the
 * Dockerfile may name others, and for none where the step gives git something itself.
 */
function secretOptions(input, token, server) {
  const found = { options: [], environment: {} };
  const given = pairs(input("secrets"), "secrets", warn);
  const placed = [["secret-envs", "env"], ["secret-files", "src"]].flatMap(([name, kind]) =>
    pairs(input(name), name, warn).map(([id, value]) => [id, `--secret=id=${id},${kind}=${value}`]),
  );
  const ofGit = OF_GIT.flatMap((name) => [name, `${name}.${server}`]);
  const itself = [...given, ...placed].some(([id]) => ofGit.includes(id));
  if (token && !itself) given.push([`${OF_GIT[0]}.${server}`, token]);
  for (const [id, value] of given) {
    const variable = `LAYERCACHE_SECRET_${found.options.length}`;
    addMask(value);
    found.environment[variable] = value;
    found.options.push(`--secret=id=${id},env=${variable}`);
  }
  found.options.push(...placed.map(([, option]) => option));
  return found;
}

function tell(files) {
  const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "");
  const [imageid, metadata] = [read(files.imageid), read(files.metadata)];
  setOutput("imageid", imageid);
  setOutput("metadata", metadata);
  setOutput("digest", metadata ? JSON.parse(metadata)["containerimage.digest"] || "" : "");
  setOutput("cache-hit", "false");
}

module.exports = { buildPlainly, otherSystem };
