#!/usr/bin/env node
// Makes the npm `solc` package answer like the native compiler, as far as forge, py-solc-x and slither ask:
// `--version`, and `--standard-json` from standard input. So one pinned compiler serves every tool, offline.
"use strict";

const { readFileSync } = require("node:fs");
const compiler = require("solc");

const args = process.argv.slice(2);
if (args.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${compiler.version()}\n`);
} else if (args.includes("--standard-json")) {
  process.stdout.write(compiler.compile(readFileSync(0, "utf8")));
} else {
  process.stderr.write("solc shim: only --version and --standard-json are supported\n");
  process.exitCode = 2;
}
