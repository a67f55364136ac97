// The main step: finds or makes what Python needs, and starts entrypoint.py. Nothing of the action itself is here.
"use strict";

const path = require("node:path");
const { image, runInContainer } = require("./container.js");
const { ALL, install, reach, setsFor, without } = require("./packages.js");
const { buildPlainly, otherSystem } = require("./plain.js");
const { findPython, which } = require("./python.js");
const { fail, runEntrypoint, say, saveState, warn } = require("./runner.js");

async function main(environment) {
  const system = otherSystem();
  if (system) return buildPlainly(system, environment);
  const start = Date.now();
  const uv = which("uv", environment);
  const sets = setsFor(environment);
  const python = findPython(environment, (found) => reach(sets, found, uv));
  // the image has all packages; only to trim the cache or to comment none is built
  const tag = (!python?.reach || (python.reach < ALL && sets.includes("s3"))) && imageFor(python, environment);
  if (tag) {
    saveState("launcher-image", tag);
    return runInContainer("main", tag, environment);
  }
  if (!python?.reach) return withoutPython(python);
  const { folders, installed, place, missing } = await install(sets, python, uv, environment);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  const { lacks, given } = without(missing, environment);
  for (const lack of lacks) warn(lack);
  say(
    installed
      ? `Python ${python.version}, ${installed} packages installed in ${seconds} s (kept in ${place})`
      : `Python ${python.version}, its ${lacks.length ? "other " : ""}packages were there`,
  );
  const folder = folders.join(path.delimiter);
  saveState("launcher-python", python.program);
  saveState("launcher-packages", folder);
  return runEntrypoint("main", python.program, folder, given);
}

/** A step that can do without the image is not ended by what it can't be given. */
function imageFor(python, environment) {
  try {
    return image(environment);
  } catch (error) {
    if (python?.reach) return undefined;
    throw error;
  }
}

function withoutPython(python) {
  const lack = python ? `Python ${python.version} has no pip` : "there is no Python 3.11 or newer";
  return fail(`${lack} on this runner; add \`uses: actions/setup-python\` with python-version 3.12 before this step`);
}

main(process.env)
  .catch((error) => fail(error.message))
  .then((code) => {
    process.exitCode = code;
  });
