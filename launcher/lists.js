// Inputs that are lists, read as layercache_ci/action/inputs.py reads them, which is docker's getInputList.
"use strict";

// Written with commas or a line each; the others a line each, where a comma is a part of the value.
const COMMAS = ["add-hosts", "allow", "no-cache-filters", "platforms", "secret-envs", "ssh", "tags"];
// Where a quote is a part of the value too.
const PLAIN = ["outputs"];

/** The values of the input of that name. Throws where a quote is not closed. */
function values(text, name) {
  const found = records(text, name, !PLAIN.includes(name)).flatMap((record) => {
    if (!COMMAS.includes(name)) return record.join(",");
    return record.length === 1 ? record[0].split(",") : record;
  });
  return found.map((value) => value.trim()).filter(Boolean);
}

/** The fields of one value that is CSV itself, as type=local,dest=folder. */
function fields(value, name) {
  return (records(value, name, true)[0] || []).map((field) => field.trim());
}

/**
 * CSV's records, each a list of its fields, as csv-parse has them with relax_quotes: a quote that is no field's first sign
 * is a sign like others, one that is closed before the field ends too, and lines end as the first one does.
 */
function records(text, name, quotes) {
  const found = [];
  let [record, field, lineEnd] = [[], "", ""];
  let [quoted, wasQuoted, opened] = [false, false, 0];
  const endField = () => {
    record.push(field);
    [field, wasQuoted] = ["", false];
  };
  const endRecord = () => {
    if (!wasQuoted && !record.length && !field) return; // an empty line
    endField();
    found.push(record);
    record = [];
  };
  const endsLine = (at) => (lineEnd ? text.startsWith(lineEnd, at) : /[\r\n]/.test(text.charAt(at)));
  for (let at = 0; at < text.length; at++) {
    const [sign, next] = [text[at], text[at + 1]];
    const quote = quotes && sign === '"';
    if (!quoted && !lineEnd) [lineEnd] = /^(\r\n|\n|\r|)/.exec(text.slice(at, at + 2));
    if (quote && quoted && next === sign) {
      field += text[at++];
    } else if (quote && quoted) {
      [quoted, wasQuoted] = [false, true];
      if (next !== undefined && next !== "," && !endsLine(at + 1)) field = `"${field}"`;
    } else if (quote && !field) {
      [quoted, opened] = [true, at];
    } else if (!quoted && lineEnd && endsLine(at)) {
      endRecord();
      at += lineEnd.length - 1;
    } else if (!quoted && sign === ",") {
      endField();
    } else {
      field += sign;
    }
  }
  if (quoted) throw new Error(`${name}: ${unclosed(text.slice(0, opened))}`);
  endRecord();
  return found;
}

/** Without the text itself: it may be a secret. */
function unclosed(before) {
  const line = before.split(/\r\n|\n|\r/).length;
  return `the double quote in line ${line} is not closed; close it; within quotes a quote is written ""`;
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

module.exports = { fields, pairs, values };
