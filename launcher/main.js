// The main step: finds or makes what Python needs, and starts entrypoint.py. Nothing of the action itself is here.
"use strict";

const { image, runInContainer } = require("./container.js");
const { install, setsFor } = require("./packages.js");
const { buildPlainly, otherSystem } = require("./plain.js");
const { findPython, which } = require("./python.js");
const { fail, runEntrypoint, say, saveState } = require("./runner.js");

async function main(environment) {
  const system = otherSystem();
  if (system) return buildPlainly(system, environment);
  const start = Date.now();
  const uv = which("uv", environment);
  const python = findPython(environment, uv);
  if (!python || !(python.pip || uv)) return withoutPython(python, environment);
  const { folder, installed, place } = await install(setsFor(environment), python, uv, environment);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  say(
    installed
      ? `Python ${python.version}, ${installed} packages installed in ${seconds} s (kept in ${place})`
      : `Python ${python.version}, its packages were there`,
  );
  saveState("launcher-python", python.program);
  saveState("launcher-packages", folder);
  return runEntrypoint("main", python.program, folder, environment);
}

async function withoutPython(python, environment) {
  const tag = image(environment);
  if (tag) {
    saveState("launcher-image", tag);
    return runInContainer("main", tag, environment);
  }
  const lack = python ? `Python ${python.version} has no pip` : "there is no Python 3.11 or newer";
  return fail(`${lack} on this runner; add \`uses: actions/setup-python\` with python-version 3.12 before this step`);
}

main(process.env)
  .catch((error) => fail(error.message))
  .then((code) => {
    process.exitCode = code;
  });
