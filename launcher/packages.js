// The Python packages that the action needs, from the hashed lock, kept in the runner's tool cache.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawn } = require("node:child_process");

const { list } = require("./python.js");

const SETS = require("./packages.json");
const LOCK = path.join(__dirname, "..", "requirements", "runtime.txt");
const SHIPPED = path.join(__dirname, "..", "packages");
const SHIPPED_SET = "base";
const UNUSED_FOR = 30 * 24 * 3600 * 1000; // ms

// The machine's indexes and certificates hold; what would send packages elsewhere, or refuse them, doesn't.
const FOREIGN = [
  "BUILD_CONSTRAINT", "COMPILE_BYTECODE", "CONSTRAINT", "DRY_RUN", "EDITABLE", "NO_BINARY", "NO_DEPS", "ONLY_BINARY",
  "OVERRIDE", "PREFIX", "PROJECT", "PYTHON", "REQUIREMENT", "REQUIRE_HASHES", "REQUIRE_VIRTUALENV", "ROOT",
  "SYSTEM_PYTHON", "TARGET", "USER",
];

/** The names of the sets that this job needs, of packages.json. */
function setsFor(environment) {
  const input = (name) => (environment[`INPUT_${name}`] || "").trim();
  // a file of inputs is YAML, which is not read here: what it mentions is installed (it names no store)
  const file = input("CONFIG") ? read(path.resolve(environment.GITHUB_WORKSPACE || ".", input("CONFIG"))) : "";
  const buckets = [input("S3-BUCKET"), environment.LAYERCACHE_S3_BUCKET];
  const sets = ["base"];
  if (/s3/i.test(input("STORE")) || buckets.some(Boolean)) sets.push("s3");
  if (/^true$/i.test(input("COMMENT")) || /\bcomment\b/.test(file)) sets.push("rest");
  // what keeps GitHub's cache under its size limit
  else if (environment.GITHUB_TOKEN && !/^(local|s3)/.test(input("STORE")) && (/^github/.test(input("STORE")) || !sets.includes("s3"))) sets.push("rest");
  return sets;
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

/**
 * The folder of the packages that `sets` name (or more than one, as PYTHONPATH has them), installed now unless they are
 * there: `{folder, installed, place}` with the number of packages installed now. Raises Error with a line for people.
 */
async function install(sets, python, uv, environment) {
  const shipped = shippedFor(python);
  if (!fs.existsSync(shipped)) return installSets(sets, python, uv, environment);
  const others = sets.filter((set) => set !== SHIPPED_SET);
  if (others.length === 0) return { folder: shipped, installed: 0, place: SHIPPED };
  const found = await installSets(others, python, uv, environment);
  return { ...found, folder: [found.folder, shipped].join(path.delimiter) };
}

async function installSets(sets, python, uv, environment) {
  const lock = fs.readFileSync(LOCK, "utf8");
  const parts = sets.map((set) => select(lock, SETS[set]));
  const requirements = parts.join("");
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
    await fetch(parts, python, uv, part, environment);
    move(part, kept);
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
  return { folder, installed: fs.readdirSync(folder).filter((name) => name.endsWith(".dist-info")).length, place };
}

/** Into `part`/packages: by uv at once, else by pip, which fetches one after another, and so one process for each. */
async function fetch(parts, python, uv, part, environment) {
  const env = { ...environment };
  const foreign = FOREIGN.flatMap((word) => [`PIP_${word}`, `UV_${word}`]);
  for (const name of [...foreign, "PYTHONHOME", "PYTHONPATH"]) delete env[name];
  const pip = [python.program, "-P", "-m", "pip", "install", "--no-compile", "--no-input", "--disable-pip-version-check"];
  const ways = [
    uv && { command: [uv, "pip", "install", "--python", python.program], parts: [parts.join("")] },
    python.pip && { command: pip, parts },
  ].filter(Boolean);
  let said = "";
  for (const way of ways) {
    const folders = way.parts.map((_, number) => path.join(part, `packages-${number}`));
    const ran = await Promise.all(
      way.parts.map((requirements, number) => fetchPart(way.command, requirements, folders[number], env)),
    );
    said = ran.find((error) => error !== undefined);
    if (said === undefined) return unite(folders, path.join(part, "packages"));
    for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
  }
  process.stderr.write(`${said}\n`);
  throw new Error(`its Python packages can't be installed: ${said.split("\n").pop()}`);
}

/** What is wrong; undefined where nothing is. */
function fetchPart(command, requirements, folder, env) {
  fs.writeFileSync(`${folder}.txt`, requirements);
  const what = ["--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:"];
  const [program, ...words] = [...command, ...what, `--target=${folder}`, "-r", `${folder}.txt`];
  return new Promise((resolve) => {
    // not in the checkout: uv would obey its pyproject.toml, and Python import what is named like a module of pip's
    const child = spawn(program, words, { cwd: path.dirname(folder), env, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => resolve(code === 0 ? undefined : said.trim() || `exit code ${code}`));
  });
}

/** What is in several folders, in one; only `bin` is in more than one of them. */
function unite(folders, whole) {
  const [first, ...others] = folders;
  for (const name of others.flatMap((folder) => list(folder).map((name) => path.join(folder, name)))) {
    const place = path.join(first, path.basename(name));
    if (fs.existsSync(place)) unite([place, name], place);
    else fs.renameSync(name, place);
  }
  if (first !== whole) fs.renameSync(first, whole);
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

module.exports = { LOCK, SETS, SHIPPED_SET, install, select, setsFor, shippedFor };
