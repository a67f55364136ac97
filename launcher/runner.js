// What is said to the runner, and how the action's own program is run.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { spawn } = require("node:child_process");

const ACTION = path.join(__dirname, "..");
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];

function say(text) {
  process.stdout.write(`layercache: ${text}\n`);
}

/** One annotation; the exit code of a step that failed. */
function fail(text) {
  command("error", `layercache: ${text}`);
  return 1;
}

/** One annotation. */
function warn(text) {
  command("warning", `layercache: ${text}`);
}

/** From now on the runner's log shows `***` for it, and for each of its lines. */
function addMask(value) {
  command("add-mask", value);
}

function command(name, text) {
  process.stdout.write(`::${name}::${text.replace(/%/g, "%25").replace(/\r/g, "%0D").replace(/\n/g, "%0A")}\n`);
}

/** For the post step, which finds it in STATE_<name>. A path with a newline is none that we made. */
function saveState(name, value) {
  if (process.env.GITHUB_STATE) fs.appendFileSync(process.env.GITHUB_STATE, `${name}=${value}${os.EOL}`);
}

/** A delimiter that no value has lets a value be of several lines. */
function setOutput(name, value) {
  const delimiter = `layercache-${crypto.randomUUID()}`;
  const entry = [`${name}<<${delimiter}`, value, delimiter, ""].join(os.EOL);
  if (process.env.GITHUB_OUTPUT) fs.appendFileSync(process.env.GITHUB_OUTPUT, entry);
}

/** Whether the step builds nothing itself. */
function isSetup(environment) {
  return /^true$/i.test((environment.INPUT_SETUP || "").trim());
}

/** Runs entrypoint.py with the packages in `folder`; resolves to its exit code. Programs that it starts find us too. */
function runEntrypoint(stage, python, folder, environment) {
  const PYTHONPATH = [folder, ACTION, environment.PYTHONPATH].filter(Boolean).join(path.delimiter);
  return run(python, [path.join(ACTION, "entrypoint.py"), stage], { ...environment, PYTHONPATH });
}

/**
 * Runs a program that has our input and output, unless `listen` takes that, and gets the signals that we get; resolves to
 * its exit code.
 */
function run(program, parameters, environment, listen) {
  return new Promise((resolve, reject) => {
    const stdio = listen ? ["inherit", "pipe", "pipe"] : "inherit";
    const child = spawn(program, parameters, { env: environment, stdio });
    // the runner's cancelling reaches node alone
    for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
    listen?.(child);
    child.on("error", reject);
    // not before what it started has let go of its output too
    child.on("close", (code, signal) => resolve(signal ? 128 + os.constants.signals[signal] : code));
  });
}

/**
 * The same of a program that prints what a stranger wrote: the runner obeys no command in it (toolkit.py has the same
 * bracket). All of it is on the stream of the bracket, as the runner reads the other one when it likes.
 */
async function runUnheard(program, parameters, environment) {
  const token = crypto.randomBytes(16).toString("hex");
  let wholeLine = true;
  const quote = (child) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => (wholeLine = chunk.at(-1) === 10));
      stream.pipe(process.stdout, { end: false });
    }
  };
  process.stdout.write(`::stop-commands::${token}\n`);
  try {
    return await run(program, parameters, environment, quote);
  } finally {
    // in the rest of another's line the runner would not see it
    process.stdout.write(`${wholeLine ? "" : "\n"}::${token}::\n`);
  }
}

module.exports = { ACTION, addMask, fail, isSetup, run, runEntrypoint, runUnheard, saveState, say, setOutput, warn };
