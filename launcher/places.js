// What a step's inputs name outside its workspace: the container that it runs in is given that, too.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { fields, values } = require("./lists.js");

// The container's own, besides /, with which it runs.
const OF_THE_IMAGE = /^\/(bin|boot|dev|etc|lib\w*|opt\/layercache|proc|run|sbin|sys|usr)(\/|$)/;
// Where others may have what is meant for a build, a folder or a file each.
const OPEN = /^\/(dev\/shm|run\/[^/]+|usr\/(local\/)?src)\//;
const ABOVE = ["/", "/opt", "/var"];
// What is written there in any case.
const TEMPORARY = ["/tmp", "/var/tmp"];
const REFUSAL =
  "can't be given to the container that the step runs in, as this runner has no Python; " +
  "name another place, or add `uses: actions/setup-python` before this step";

/**
 * `{place, readonly}` of each that is there and in none of the folders that are `given` already. Throws, with the input's
 * name, for what can't be given: it would stand in the place of what the container runs with.
 */
function named(environment, home, given) {
  const input = (name) => (environment[`INPUT_${name.toUpperCase()}`] || "").trim();
  const list = (name) => values(input(name), name);
  const found = [];
  for (const { name, file, writes } of [...written(list), ...read(input, list, environment)]) {
    const place = at(path.resolve(file), writes);
    const has = found.filter((each) => !(writes && each.readonly)).map((each) => each.place);
    if (!place || [...given, ...has].some((folder) => isIn(place, folder))) continue;
    if (!fits(place)) throw new Error(`${name}: ${place} ${REFUSAL}`);
    found.push({ place, readonly: !writes && ![home, ...TEMPORARY].some((folder) => isIn(folder, place)) });
  }
  return found;
}

/** Where the result goes, by the outputs and caches that are folders or files. */
function written(list) {
  const found = [];
  for (const name of ["outputs", "cache-to"]) {
    for (const value of list(name)) {
      const given = fields(value, name);
      const [dest] = given.filter((field) => field.startsWith("dest=")).map((field) => field.slice("dest=".length));
      // buildx takes a word alone for a folder
      const file = dest || (name === "outputs" && given.length === 1 && !value.includes("=") && value);
      if (file && file !== "-") found.push({ name, file, writes: true });
    }
  }
  return found;
}

function read(input, list, environment) {
  const behind = (name) => list(name).map((value) => [name, value.replace(/^[^=]*=/, "")]);
  const [context, file] = [input("context"), input("file")];
  const fieldsFrom = list("cache-from").flatMap((value) => fields(value, "cache-from"));
  const keys = behind("ssh").filter(([, value]) => path.isAbsolute(value));
  const agent = list("ssh").some((value) => !value.includes("=")) || /^(ssh:\/\/|git@)/.test(context);
  const found = [
    ["DOCKER_CERT_PATH", environment.DOCKER_CERT_PATH],
    ["config", input("config")],
    ["context", context],
    ["file", file],
    ["file", file && `${file}.dockerignore`],
    ...behind("secret-files"),
    ...behind("build-contexts").map(([name, value]) => [name, value.replace(/^oci-layout:\/\/([^@:]*).*$/, "$1")]),
    ...keys.flatMap(([name, value]) => value.split(",").map((each) => [name, each])),
    ...fieldsFrom.filter((each) => /^src=/.test(each)).map((each) => ["cache-from", each.slice("src=".length)]),
    ["ssh", agent && environment.SSH_AUTH_SOCK],
  ];
  return found.filter(([, value]) => value).map(([name, value]) => ({ name, file: value, writes: false }));
}

/** What is to be given for a path: itself, or the folder in which it will be; undefined for what no file can be. */
function at(file, writes) {
  const there = stat(file);
  if (there && !there.isFile() && !there.isDirectory() && !there.isSocket()) return undefined; // /dev/null
  if (!writes) return there && file;
  return there?.isDirectory() || file === "/" ? file : at(path.dirname(file), writes);
}

/** Whether the container does not need what it has there itself. */
function fits(place) {
  if (ABOVE.includes(place)) return false;
  const kind = fs.statSync(place);
  const alone = kind.isSocket() || (kind.isFile() && place.startsWith("/etc/"));
  return alone || OPEN.test(place) || !OF_THE_IMAGE.test(place);
}

function isIn(place, folder) {
  return `${place}/`.startsWith(folder === "/" ? folder : `${folder}/`);
}

function stat(file) {
  try {
    return fs.statSync(file);
  } catch {
    return undefined; // the engine says so
  }
}

module.exports = { isIn, named };
