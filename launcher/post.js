// The post step: in what the main step ran in, or nothing where that did not come to it.
"use strict";

const { runInContainer } = require("./container.js");
const { fail, runEntrypoint } = require("./runner.js");

async function post(environment) {
  const state = (name) => environment[`STATE_launcher-${name}`];
  const [image, python, packages] = ["image", "python", "packages"].map(state);
  if (image) return runInContainer("post", image, environment);
  return python && packages ? runEntrypoint("post", python, packages, environment) : 0;
}

post(process.env)
  .catch((error) => fail(error.message))
  .then((code) => {
    process.exitCode = code;
  });
