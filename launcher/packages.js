// The Python packages that the action needs, from the hashed lock, kept in the runner's tool cache.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawn } = require("node:child_process");

const SETS = require("./packages.json");
const LOCK = path.join(__dirname, "..", "requirements", "runtime.txt");
const SHIPPED = path.join(__dirname, "..", "packages");
const SHIPPED_SET = "base";
const UNUSED_FOR = 30 * 24 * 3600 * 1000; // ms
const [SHIPPED_ALONE, ALL] = [1, 2];

// Sets that a step can go on without: for how long they are waited for, what it lacks then, and with which inputs it is
// run, so that nobody says the same once more. An index that does not answer would cost pip minutes, in each job.
const LACKS = {
  s3: {
    seconds: 120,
    lack: "S3 is not used, and what is built is built without a cache",
    given: { INPUT_STORE: "local", INPUT_MODE: "off" },
  },
  rest: {
    seconds: 60,
    lack: "GitHub is not asked for the size of its cache, and there is no comment on a pull request",
    given: { INPUT_COMMENT: "false" },
  },
};

// The machine's indexes and certificates hold; what would send packages elsewhere, or refuse them, doesn't.
const FOREIGN = [
  "BUILD_CONSTRAINT", "COMPILE_BYTECODE", "CONSTRAINT", "DRY_RUN", "EDITABLE", "NO_BINARY", "NO_DEPS", "ONLY_BINARY",
  "OVERRIDE", "PREFIX", "PROJECT", "PYTHON", "REQUIREMENT", "REQUIRE_HASHES", "REQUIRE_VIRTUALENV", "ROOT",
  "SYSTEM_PYTHON", "TARGET", "USER",
];

/** The names of the sets that this job has a use for, of packages.json. */
function setsFor(environment) {
  const input = (name) => (environment[`INPUT_${name}`] || "").trim();
  // a file of inputs is YAML, which is not read here: what it mentions is installed (it names no store)
  const file = input("CONFIG") ? read(path.resolve(environment.GITHUB_WORKSPACE || ".", input("CONFIG"))) : "";
  const store = input("STORE");
  const bucket = input("S3-BUCKET") || environment.LAYERCACHE_S3_BUCKET;
  const sets = ["base"];
  // as layercache_ci/ci/choice.py chooses the store
  const s3 = store ? /^s3(:|$)/.test(store) : bucket;
  if (s3) sets.push("s3");
  if (/^true$/i.test(input("COMMENT")) || /\bcomment\b/.test(file)) sets.push("rest");
  // what keeps GitHub's cache under its size limit
  else if (environment.GITHUB_TOKEN && !s3 && !/^local/.test(store)) sets.push("rest");
  return sets;
}

/** `missing` sets, for people: the line of each, and the environment with which the step goes on. */
function without(missing, environment) {
  const remedy = "let the runner reach a package index, or give pip a folder of wheels (docs/ci/github.md)";
  const lacks = [];
  const given = { ...environment };
  for (const { set, why } of missing) {
    lacks.push(`${LACKS[set].lack}: its Python packages can't be installed: ${why}; ${remedy}`);
    Object.assign(given, LACKS[set].given);
  }
  return { lacks, given };
}

/** The entries of a lock in pip's format for those names: each a line, its hashes, what it is for. */
function select(lock, names) {
  const entries = lock.split(/^(?=[a-z0-9][a-z0-9._-]*==)/m);
  return entries.filter((entry) => names.includes(entry.split("==")[0])).join("");
}

/** Where ship.js puts what a release brings along for such a Python. */
function shippedFor(python) {
  const [version, machine] = python.kind;
  return path.join(SHIPPED, `${version}-${machine}`);
}

/** How much of `sets` that Python can have: ALL of it, SHIPPED alone, or nothing, 0. */
function reach(sets, python, uv) {
  if (python.pip || uv) return ALL;
  if (!fs.existsSync(shippedFor(python))) return 0;
  return sets.every((set) => set === SHIPPED_SET) ? ALL : SHIPPED_ALONE;
}

/**
 * The folders of the packages that `sets` name, installed now unless they are there: `{folders, installed, place,
 * missing}` with the number of packages installed now, and `{set, why}` for what could not be. Raises Error with a line
 * for people where nothing goes without it.
 */
async function install(sets, python, uv, environment) {
  const shipped = shippedFor(python);
  const brought = fs.existsSync(shipped);
  const wanted = sets.filter((set) => !(brought && set === SHIPPED_SET));
  const found = await Promise.all(
    wanted.map((set) => installSet(set, python, uv, environment).catch((error) => ({ set, why: error.message }))),
  );
  const missing = found.filter(({ why }) => why !== undefined);
  const needed = missing.find(({ set }) => !LACKS[set]);
  if (needed) throw new Error(`its Python packages can't be installed: ${needed.why}`);
  const there = found.filter(({ folder }) => folder);
  return {
    folders: [...there.map(({ folder }) => folder), ...(brought ? [shipped] : [])],
    installed: there.reduce((sum, { installed }) => sum + installed, 0),
    place: there.map(({ place }) => place)[0],
    missing,
  };
}

/** Each set has a folder of its own, so that one that can't be had takes no other with it. */
async function installSet(set, python, uv, environment) {
  const requirements = select(fs.readFileSync(LOCK, "utf8"), SETS[set]);
  const key = crypto.createHash("sha256").update(JSON.stringify([requirements, python.version, python.kind]));
  const place = writable(environment);
  const kept = path.join(place, key.digest("hex").slice(0, 24));
  const folder = path.join(kept, "packages");
  if (fs.existsSync(folder)) {
    touch(kept);
    return { folder, installed: 0, place };
  }
  removeUnused(place);
  // made beside and moved when whole: nobody sees a half, and of two jobs one wins and the other uses its
  const part = fs.mkdtempSync(`${kept}.part-`);
  try {
    fs.chmodSync(part, 0o755);
    fs.writeFileSync(path.join(part, "requirements.txt"), requirements);
    await fetch(python, uv, part, LACKS[set]?.seconds, environment);
    move(part, kept);
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
  return { folder, installed: fs.readdirSync(folder).filter((name) => name.endsWith(".dist-info")).length, place };
}

/** Into `part`/packages what its requirements.txt names, by uv or else by pip, in that many seconds where it is said. */
async function fetch(python, uv, part, seconds, environment) {
  const env = { ...environment };
  const foreign = FOREIGN.flatMap((word) => [`PIP_${word}`, `UV_${word}`]);
  for (const name of [...foreign, "PYTHONHOME", "PYTHONPATH"]) delete env[name];
  const pip = [python.program, "-P", "-m", "pip", "install", "--no-compile", "--no-input", "--disable-pip-version-check"];
  const ways = [uv && [uv, "pip", "install", "--python", python.program], python.pip && pip].filter(Boolean);
  const signal = seconds && AbortSignal.timeout(seconds * 1000);
  let said = `Python ${python.version} has no pip, as that of actions/setup-python has`;
  for (const way of ways) {
    said = await run(way, part, env, signal);
    if (said === undefined) return;
    fs.rmSync(path.join(part, "packages"), { recursive: true, force: true });
    if (signal?.aborted) {
      said = `they were not there after ${seconds} s`;
      break;
    }
  }
  process.stderr.write(`${said}\n`);
  const lines = said.split("\n");
  throw new Error(lines.findLast((line) => line.startsWith("ERROR: ")) || lines.pop()); // pip's, else uv's
}

/** What is wrong; undefined where nothing is. */
function run(command, part, env, signal) {
  const what = ["--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:", "--target=packages"];
  const [program, ...words] = [...command, ...what, "-r", "requirements.txt"];
  return new Promise((resolve) => {
    // not in the checkout: uv would obey its pyproject.toml, and Python import what is named like a module of pip's
    const child = spawn(program, words, { cwd: part, env, stdio: ["ignore", "ignore", "pipe"], signal });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
    child.on("error", (error) => {
      if (child.pid === undefined) resolve(error.message); // else it is stopped, and may still write
    });
    child.on("close", (code) => resolve(code === 0 ? undefined : said.trim() || `exit code ${code}`));
  });
}

function move(part, kept) {
  try {
    fs.renameSync(part, kept);
  } catch (error) {
    if (fs.existsSync(path.join(kept, "packages"))) return; // another job's
    fs.rmSync(kept, { recursive: true, force: true }); // something that cleans up left this
    fs.renameSync(part, kept);
  }
}

/** The runner's tool cache, which stays from job to job on one's own machine; else what can be written to. */
function writable(environment) {
  const home = environment.XDG_CACHE_HOME || path.join(environment.HOME || os.homedir(), ".cache");
  const folders = [environment.RUNNER_TOOL_CACHE, home, environment.RUNNER_TEMP].filter(Boolean);
  const places = folders.map((folder) => path.join(folder, "layercache-action"));
  for (const place of places) {
    try {
      fs.mkdirSync(place, { recursive: true });
      fs.accessSync(place, fs.constants.W_OK);
      return place;
    } catch {
      // the next
    }
  }
  throw new Error(`none of ${places.join(", ")} can be written to`);
}

function removeUnused(place) {
  for (const name of fs.readdirSync(place)) {
    const folder = path.join(place, name);
    try {
      if (Date.now() - fs.statSync(folder).mtimeMs > UNUSED_FOR) fs.rmSync(folder, { recursive: true, force: true });
    } catch {
      // gone meanwhile, or another user's
    }
  }
}

function touch(folder) {
  try {
    fs.utimesSync(folder, new Date(), new Date());
  } catch {
    // another user's: it is used all the same
  }
}

function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return ""; // whoever reads it says so
  }
}

module.exports = { ALL, LOCK, SETS, SHIPPED_SET, install, reach, select, setsFor, shippedFor, without };
