// The build context where none is named, as layercache_ci/action/context.py has it where nothing can be cached.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const GITHUB = "https://github.com";
const TEMPLATE = /\{\{\s*defaultContext\s*\}\}(:(?<folder>[^,]+))?/g;

/**
 * `{context, file, fill, fetches}` for the inputs as they were written: the run's commit, or the workspace where the
 * run has none. `fill` is for named contexts; `fetches` says whether git is asked, which may take the job's token.
 */
function contextOf(given, file, environment) {
  const written = given || "{{defaultContext}}";
  const url = gitContext(environment);
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

/** The host of the run's GitHub, with its port where it has one, as it is written: so BuildKit takes it out of a URL. */
function serverOf(environment) {
  const [, authority = ""] = /^[^/]*\/\/([^/?#]*)/.exec(environment.GITHUB_SERVER_URL || GITHUB) || [];
  return authority.replace(/^.*@/, "");
}

/** `URL.git#COMMIT`, or the ref where the commit is not known; undefined where the run has no repository. */
function gitContext(environment) {
  const { GITHUB_REPOSITORY: repository, GITHUB_REF: ref = "" } = environment;
  const ofHead = ref.startsWith("refs/pull/") && environment.DOCKER_DEFAULT_GIT_CONTEXT_PR_HEAD_REF === "true";
  const commit = ofHead ? headOf(environment.GITHUB_EVENT_PATH) : environment.GITHUB_SHA;
  if (!repository || !(ref || commit)) return undefined;
  const url = `${environment.GITHUB_SERVER_URL || GITHUB}/${repository}.git`;
  const full = ref.startsWith("refs/") ? ref : `refs/heads/${ref}`;
  return `${url}#${commit || (ofHead ? full.replace(/\/merge$/, "/head") : full)}`;
}

/** The last commit of the pull request itself, by the event that started the run. */
function headOf(event) {
  try {
    return JSON.parse(fs.readFileSync(event, "utf8")).pull_request.head.sha;
  } catch {
    return undefined;
  }
}

module.exports = { contextOf, serverOf };
