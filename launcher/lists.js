// Inputs that are lists, read as layercache_ci/action/inputs.py reads them, which is docker's getInputList.
"use strict";

// Written with commas or a line each; the others a line each, where a comma is a part of the value.
const COMMAS = ["add-hosts", "allow", "no-cache-filters", "platforms", "secret-envs", "ssh", "tags"];
// Where a quote is a part of the value too.
const PLAIN = ["outputs"];

/** The values of the input of that name. */
function values(text, name) {
  const records = PLAIN.includes(name) ? text.split(/[\r\n]/) : unquoted(text);
  const found = COMMAS.includes(name) ? records.flatMap((record) => record.split(",")) : records;
  return found.map((value) => value.trim()).filter(Boolean);
}

/** CSV's records, each with its commas: what is quoted may go over several lines. */
function unquoted(text) {
  const records = [""];
  let quoted = false;
  let fieldBegins = true;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    const quote = sign === '"';
    const doubled = quoted && quote && text[at + 1] === '"';
    if (doubled) at++;
    if (quote && !doubled && (quoted || fieldBegins)) quoted = !quoted;
    else if (!quoted && /[\r\n]/.test(sign)) records.push("");
    else records[records.length - 1] += sign;
    fieldBegins = !quoted && /[,\r\n]/.test(sign);
  }
  return records;
}

/** `[id, value]` of each secret that has both; `leftOut` is told of the others without what may be secret in them. */
function pairs(text, name, leftOut) {
  const words = values(text, name);
  // then it is lines of a secret, not quoted, and what stands before an = may be a part of it too
  const torn = words.some((word) => !word.includes("="));
  return words.flatMap((word, at) => {
    const [, id, value] = /^([^=]*)=?([^]*)$/.exec(word);
    if (id && /[^=]/.test(value)) return [[id, value]]; // only = is how base64 ends
    const shown = torn ? `number ${at + 1}` : `'${id}'`;
    leftOut(`${name}: the secret ${shown} is left out: it is not of the form id=value`);
    return [];
  });
}

module.exports = { pairs, values };
