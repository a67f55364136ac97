// For a release: brings along what the launcher would fetch on every new runner, compiled, for one version of Python.
//
//     node launcher/ship.js python3.12 x86_64 aarch64
//
// No wheel is built, so one machine does it for others. Nothing of it decides what is run: where the packages of another
// Python or machine are asked for they are fetched.
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { execFileSync } = require("node:child_process");
const { LOCK, SETS, SHIPPED_SET, select, shippedFor } = require("./packages.js");
const { ACTION } = require("./runner.js");

const ABOUT = "import json, sys; print(json.dumps([sys.implementation.cache_tag, '%d.%d' % sys.version_info[:2]]))";
// checked: a source that was changed afterwards counts, whatever its time
const COMPILE = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash"];
const FROM_WHEELS = ["--no-compile", "--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp"];

function ship(python, machines) {
  const [tag, version] = JSON.parse(execFileSync(python, ["-I", "-c", ABOUT], { encoding: "utf8" }));
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "layercache-ship-"));
  const requirements = path.join(work, "requirements.txt");
  fs.writeFileSync(requirements, select(fs.readFileSync(LOCK, "utf8"), SETS[SHIPPED_SET]));
  const compiled = [path.join(ACTION, "layercache_ci")];
  for (const machine of machines) {
    const folder = shippedFor({ kind: [tag, `${machine}-linux-gnu`] });
    fs.rmSync(folder, { recursive: true, force: true });
    const where = [`--target=${folder}`, `--python-version=${version}`, `--platform=manylinux2014_${machine}`];
    execFileSync(python, ["-m", "pip", "install", "--quiet", ...FROM_WHEELS, ...where, "-r", requirements], { stdio: "inherit" });
    compiled.push(folder);
  }
  execFileSync(python, [...COMPILE, ...compiled], { stdio: "inherit" });
  fs.rmSync(work, { recursive: true });
}

ship(process.argv[2], process.argv.slice(3));
