// What docker/build-push-action v7 does in a step and after the job, with the same functions of the same library in
// the same order. Not its program: that is only on GitHub. Where an input has no part in these builds, it is left out.
import * as fs from 'node:fs';
import * as core from '@actions/core';
import * as actions from '@docker/actions-toolkit';
import {Build} from '@docker/actions-toolkit/lib/buildx/build.js';
import {Buildx} from '@docker/actions-toolkit/lib/buildx/buildx.js';
import {History} from '@docker/actions-toolkit/lib/buildx/history.js';
import {Context} from '@docker/actions-toolkit/lib/context.js';
import {Docker} from '@docker/actions-toolkit/lib/docker/docker.js';
import {Exec} from '@docker/actions-toolkit/lib/exec.js';
import {GitHubArtifact} from '@docker/actions-toolkit/lib/github/artifact.js';
import {GitHub} from '@docker/actions-toolkit/lib/github/github.js';
import {GitHubSummary} from '@docker/actions-toolkit/lib/github/summary.js';
import {Toolkit} from '@docker/actions-toolkit/lib/toolkit.js';
import {Util} from '@docker/actions-toolkit/lib/util.js';
import handlebars from 'handlebars';

const WHOLE_LINES = {ignoreComma: true};
const REPEATED = ['build-arg', 'cache-from', 'cache-to', 'label'];

const enabled = variable => !process.env[variable] || Util.parseBool(process.env[variable]);
const warned = async work => {
  try {
    await work();
  } catch (error) {
    core.warning(error.message);
  }
};

async function main() {
  const started = new Date();
  const inputs = readInputs();
  core.saveState('summaryInputs', JSON.stringify(inputs));
  const toolkit = new Toolkit();
  await core.group('GitHub Actions runtime token ACs', () => warned(() => GitHub.printActionsRuntimeTokenACs()));
  await core.group('Docker info', async () => {
    try {
      await Docker.printVersion();
      await Docker.printInfo();
    } catch (error) {
      core.info(error.message);
    }
  });
  await core.group('Proxy configuration', async () => {
    const proxies = (await Docker.configFile())?.proxies;
    core.info(proxies ? JSON.stringify(proxies) : 'No proxy configuration found');
  });
  if (!(await toolkit.buildx.isAvailable())) throw new Error('Docker buildx is required');
  core.saveState('tmpDir', Context.tmpDir());
  await core.group('Buildx version', () => toolkit.buildx.printVersion());
  await core.group('Builder info', async () => {
    const builder = await toolkit.builder.inspect(inputs.builder);
    core.saveState('builderDriver', builder.driver ?? '');
    core.saveState('builderEndpoint', builder.nodes?.[0]?.endpoint ?? '');
    core.info(JSON.stringify(builder, null, 2));
  });
  const error = await build(toolkit, inputs);
  const metadata = toolkit.buildxBuild.resolveMetadata();
  const found = {imageid: toolkit.buildxBuild.resolveImageID(), digest: toolkit.buildxBuild.resolveDigest(metadata)};
  if (metadata) found.metadata = JSON.stringify(metadata, null, 2);
  for (const [name, value] of Object.entries(found)) {
    if (!value) continue;
    await core.group(name, async () => {
      core.info(value);
      core.setOutput(name, value);
    });
  }
  const reference = await core.group('Reference', () => buildReference(toolkit, started, inputs.builder));
  core.saveState('buildRef', reference);
  if (enabled('DOCKER_BUILD_CHECKS_ANNOTATIONS')) await annotate(toolkit.buildxBuild.resolveWarnings(metadata), reference);
  await core.group('Check build summary support', async () => {
    const supported = !GitHub.isGHES && (await toolkit.buildx.versionSatisfies('>=0.23.0')) && reference;
    if (enabled('DOCKER_BUILD_SUMMARY') && supported) core.saveState('isSummarySupported', 'true');
  });
  if (error) throw error;
}

function readInputs() {
  const lists = Object.fromEntries(REPEATED.map(name => [name, Util.getInputList(plural(name), WHOLE_LINES)]));
  return {
    ...lists,
    tag: Util.getInputList('tags'),
    outputs: Util.getInputList('outputs', {...WHOLE_LINES, quote: false}),
    builder: core.getInput('builder'),
    context: core.getInput('context'),
    network: core.getInput('network'),
    load: core.getBooleanInput('load'),
    push: core.getBooleanInput('push'),
    provenance: Build.getProvenanceInput('provenance')
  };
}

function plural(name) {
  return name.startsWith('cache') ? name : `${name}s`;
}

async function build(toolkit, inputs) {
  const command = await toolkit.buildx.getCommand(await options(toolkit, inputs));
  const env = {...process.env, BUILDX_METADATA_WARNINGS: 'true'};
  const ran = await Exec.getExecOutput(command.command, command.args, {ignoreReturnCode: true, env});
  return ran.exitCode === 0 ? undefined : new Error(`buildx failed with: ${Buildx.getErrorMessage(ran.stderr)}`);
}

async function options(toolkit, inputs) {
  const given = ['build'];
  for (const name of [...REPEATED, 'tag']) {
    for (const value of inputs[name]) given.push(`--${name}`, value);
  }
  for (const version of ['>=0.12.0', '>=0.8.0', '>=0.10.0', '>=0.6.0']) await toolkit.buildx.versionSatisfies(version);
  given.push('--iidfile', toolkit.buildxBuild.getImageIDFilePath());
  for (const output of inputs.outputs) given.push('--output', output);
  if (inputs.provenance) given.push('--attest', Build.resolveAttestationAttrs(`type=provenance,${inputs.provenance}`));
  else if (
    (await toolkit.buildkit.versionSatisfies(inputs.builder, '>=0.11.0')) &&
    !Build.hasDockerExporter(inputs.outputs, inputs.load)
  ) {
    const mode = GitHub.context.payload.repository?.private ? 'mode=min,inline-only=true' : 'mode=max';
    given.push('--attest', `type=provenance,${Build.resolveProvenanceAttrs(mode)}`);
  }
  if (inputs.builder) given.push('--builder', inputs.builder);
  if (inputs.load) given.push('--load');
  given.push('--metadata-file', toolkit.buildxBuild.getMetadataFilePath());
  if (inputs.network) given.push('--network', inputs.network);
  if (inputs.push) given.push('--push');
  return [...given, handlebars.compile(inputs.context)({defaultContext: ''})];
}

async function buildReference(toolkit, since, builder) {
  const written = toolkit.buildxBuild.resolveRef();
  if (written) return written;
  const builderName = builder || (await toolkit.builder.inspect()).name;
  return Object.keys(Buildx.refs({dir: Buildx.refsDir, builderName, since}))[0] ?? '';
}

async function annotate(warnings, reference) {
  if (!reference || !warnings?.length) return;
  for (const each of (await Buildx.convertWarningsToGitHubAnnotations(warnings, [reference])) ?? []) {
    core.warning(each.message, each);
  }
}

async function post() {
  const [supported, reference, temporary, inputs, driver, endpoint] = [
    'isSummarySupported', 'buildRef', 'tmpDir', 'summaryInputs', 'builderDriver', 'builderEndpoint'
  ].map(name => process.env[`STATE_${name}`] ?? '');
  if (supported) await core.group('Generating build summary', () => warned(() => summarize(reference, inputs, driver, endpoint)));
  if (temporary) fs.rmSync(temporary, {recursive: true});
}

async function summarize(reference, inputs, driver, endpoint) {
  const exportRes = await new History().export({refs: [reference]});
  core.info(`Build record written to ${exportRes.dockerbuildFilename} (${Util.formatFileSize(exportRes.dockerbuildSize)})`);
  const filename = exportRes.dockerbuildFilename;
  const uploadRes = enabled('DOCKER_BUILD_RECORD_UPLOAD') ? await GitHubArtifact.upload({filename}) : undefined;
  await GitHubSummary.writeBuildSummary({exportRes, uploadRes, inputs: JSON.parse(inputs), driver, endpoint});
}

actions.run(main, post);
