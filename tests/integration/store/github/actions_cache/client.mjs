// node client.mjs save|restore KEY PATH...: the entry's number (-1 for none), or the key that was hit.
import * as cache from '@actions/cache';

const [verb, key, ...paths] = process.argv.slice(2);
const answer = verb === 'save' ? await cache.saveCache(paths, key) : await cache.restoreCache(paths, key, []);
process.stdout.write(`\nanswer ${answer ?? 'miss'}\n`);
