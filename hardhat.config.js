"use strict";

const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

const solc = require("./contracts/compiler.json");

// The compiler is the pinned npm package, so that a build downloads nothing.
subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }) => {
  const longVersion = require("solc").version();
  if (!longVersion.startsWith(`${solcVersion}+`)) {
    throw new Error(`npm solc is ${longVersion}, contracts/compiler.json asks for ${solcVersion}: run npm ci`);
  }
  return {
    compilerPath: require.resolve("solc/soljson.js"),
    isSolcJs: true,
    version: solcVersion,
    longVersion,
  };
});

module.exports = {
  solidity: solc,
  paths: {
    sources: "./contracts",
    tests: "./tests/contracts",
    cache: "./build/hardhat/cache",
    artifacts: "./build/hardhat/artifacts",
  },
};
