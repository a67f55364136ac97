// A Python that can run the action: found, never fetched.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { spawnSync } = require("node:child_process");
const { ALL } = require("./packages.js");

const OLDEST = [3, 11];
const NEWEST = [3, 14]; // for newer ones the packages of the lock may not be built yet
const NAMES = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];

// What decides which wheels fit: the version, the machine, the C library (job containers share the tool cache).
const PROBE = `
import importlib.util, json, os, sys
libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {}) else None
kind = [sys.implementation.cache_tag, getattr(sys.implementation, "_multiarch", sys.platform), libc]
print(json.dumps({
    "program": sys.executable,
    "version": sys.version.split()[0],
    "number": sys.version_info[:2],
    "kind": kind,
    "pip": importlib.util.find_spec("pip") is not None,
    "minimal": any(importlib.util.find_spec(name) is None for name in ("http", "ssl")),
}))`;

/**
 * `{program, version, kind, pip, reach}` of the Python for which `reach` says that most can be had, if the lock has it;
 * else of the one that comes next to that; undefined where none is new enough.
 */
function findPython(environment, reach) {
  let best;
  for (const candidate of candidates(environment)) {
    const found = probe(candidate, environment);
    if (!found) continue;
    const python = { ...found, reach: reach(found) };
    const rank = python.reach && (python.number[1] <= NEWEST[1] ? 1 + python.reach : 1);
    if (rank === 1 + ALL) return python;
    if (!best || rank > best.rank) best = { ...python, rank };
  }
  return best;
}

/** The full path of a program on PATH, or undefined. */
function which(name, environment) {
  const suffix = process.platform === "win32" ? ".exe" : "";
  return (environment.PATH || environment.Path || "")
    .split(path.delimiter)
    .filter(Boolean)
    .map((folder) => path.join(folder, name + suffix))
    .find(isProgram);
}

function* candidates(environment) {
  for (const name of NAMES) {
    const program = which(name, environment);
    if (program) yield program;
  }
  yield* toolCache(environment);
}

/** What actions/setup-python and the runner's image keep, newest first: Python/<version>/<arch>/bin/python3. */
function toolCache(environment) {
  const folder = path.join(environment.RUNNER_TOOL_CACHE || environment.AGENT_TOOLSDIRECTORY || "", "Python");
  const newestFirst = (left, right) => right.localeCompare(left, "en", { numeric: true });
  return list(folder)
    .filter((version) => /^[\d.]+$/.test(version)) // no pre-release
    .sort(newestFirst)
    .map((version) => path.join(folder, version, process.arch, "bin/python3"))
    .filter(isProgram);
}

function probe(program, environment) {
  // no variable of the job decides what it answers, and no file of its checkout
  const ran = spawnSync(program, ["-I", "-c", PROBE], { env: environment, encoding: "utf8" });
  if (ran.status !== 0) return undefined;
  const python = JSON.parse(ran.stdout);
  const [major, minor] = python.number;
  // Debian's python3-minimal alone is none
  return major === OLDEST[0] && minor >= OLDEST[1] && !python.minimal ? python : undefined;
}

function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** What is in a folder; nothing where there is none. */
function list(folder) {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

module.exports = { findPython, which };
