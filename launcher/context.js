// The build context where none is named, as layercache_ci/action/context.py has it.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const TEMPLATE = /\{\{\s*defaultContext\s*\}\}(:(?<folder>[^,]+))?/g;
const CHECKOUT = [".git", "Dockerfile", "Containerfile", "dockerfile"];

/**
 * `{context, file, fill, fetches}` for the inputs as they were written: the workspace where it holds a checkout, else
 * the run's commit. `fill` is for named contexts; `fetches` says whether git is asked, which may take the job's token.
 */
function contextOf(given, file, environment) {
  const written = given || "{{defaultContext}}";
  const held = [...CHECKOUT, file].some((name) => name && fs.existsSync(path.resolve(name)));
  const url = held ? undefined : gitContext(environment);
  const fill = (text) =>
    text.replace(TEMPLATE, (...found) => {
      const { folder } = found.at(-1);
      return url ? `${url}${folder ? `:${folder}` : ""}` : folder || ".";
    });
  const context = fill(written);
  // git's Dockerfile is in the context; buildx takes any other from where it runs
  const elsewhere = url || path.isAbsolute(file) || /^https?:\/\//.test(file);
  const inside = file && !elsewhere && written.search(TEMPLATE) >= 0;
  return { context, file: inside ? path.join(context, file) : file, fill, fetches: Boolean(url) && context.startsWith(url) };
}

/** `URL.git#COMMIT`; of a pull request its ref, since the commit is one that no branch has. */
function gitContext(environment) {
  const { GITHUB_REPOSITORY: repository, GITHUB_SHA: commit, GITHUB_REF: ref = "" } = environment;
  if (!repository || !(ref || commit)) return undefined;
  const url = `${environment.GITHUB_SERVER_URL || "https://github.com"}/${repository}.git`;
  if (ref.startsWith("refs/pull/")) {
    const ofHead = environment.DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF === "true";
    return `${url}#${ofHead ? ref.replace(/\/merge$/, "/head") : ref}`;
  }
  return `${url}#${commit || (ref.startsWith("refs/") ? ref : `refs/heads/${ref}`)}`;
}

module.exports = { contextOf };
