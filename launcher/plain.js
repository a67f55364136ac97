// Runners that are no Linux: the image is built with docker as it is, from build-push-action's inputs.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { which } = require("./python.js");
const { fail, isSetup, run, say, setOutput } = require("./runner.js");

const NAMES = { darwin: "macOS", win32: "Windows" };
const TEXTS = ["builder", "cgroup-parent", "file", "network", "provenance", "sbom", "shm-size", "target"];
const FLAGS = ["load", "no-cache", "pull", "push"];
// By input its option; those of COMMAS are written with commas or a line each, the others a line each.
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
const COMMAS = ["add-hosts", "allow", "no-cache-filters", "platforms", "secret-envs", "ssh", "tags"];

/** The name of a system on which there is no cache, or undefined. */
function otherSystem() {
  return NAMES[process.platform];
}

/** Builds; resolves to the exit code. */
async function buildPlainly(system, environment) {
  if (isSetup(environment)) {
    say(`${system}: later steps build without a cache, which there is on Linux runners only`);
    return 0;
  }
  say(`${system}: the image is built without a cache, which there is on Linux runners only`);
  const input = (name) => (environment[`INPUT_${name.toUpperCase()}`] || "").trim();
  const other = ["image", "containerfiles", "dockerfiles"].find(input);
  if (other) return fail(`${other}: on ${system} only docker builds; use a Linux runner`);
  const docker = which("docker", environment);
  if (!docker) return fail(`there is no docker on this ${system} runner; use a Linux runner`);
  const folder = fs.mkdtempSync(path.join(environment.RUNNER_TEMP || os.tmpdir(), "layercache-"));
  const files = { imageid: path.join(folder, "image-id"), metadata: path.join(folder, "metadata.json") };
  const secrets = secretOptions(input);
  const results = [`--iidfile=${files.imageid}`, `--metadata-file=${files.metadata}`];
  const parameters = [...options(input), ...secrets.options, ...results, input("context") || "."];
  const code = await run(docker, ["buildx", "build", ...parameters], { ...environment, ...secrets.environment });
  if (code === 0) tell(files);
  else fail(`the build failed: docker ended with exit code ${code}; its output is above`);
  return code;
}

function options(input) {
  const texts = TEXTS.filter(input).map((name) => `--${name}=${input(name)}`);
  const flags = FLAGS.filter((name) => input(name).toLowerCase() === "true").map((name) => `--${name}`);
  const lists = Object.entries(LISTS).flatMap(([name, option]) =>
    split(input(name), name).map((value) => `--${option}=${value}`),
  );
  return [...texts, ...flags, ...lists];
}

/** Values by the environment, where no other process sees them. */
function secretOptions(input) {
  const found = { options: [], environment: {} };
  for (const secret of split(input("secrets"), "secrets")) {
    const [id, value] = [secret.slice(0, secret.indexOf("=")), secret.slice(secret.indexOf("=") + 1)];
    const variable = `LAYERCACHE_SECRET_${found.options.length}`;
    found.environment[variable] = value;
    found.options.push(`--secret=id=${id},env=${variable}`);
  }
  for (const [name, kind] of [["secret-envs", "env"], ["secret-files", "src"]]) {
    for (const secret of split(input(name), name)) {
      found.options.push(`--secret=id=${secret.replace("=", `,${kind}=`)}`);
    }
  }
  return found;
}

function split(text, name) {
  const values = text.split(COMMAS.includes(name) ? /[\n,]/ : "\n").map((value) => value.trim());
  return values.filter(Boolean).map(unquote);
}

/** CSV's quotes. */
function unquote(value) {
  return /^".*"$/.test(value) ? value.slice(1, -1).replaceAll('""', '"') : value;
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
