// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {vm} from "./Vm.sol";

/// @dev The arguments of a publish.
struct Item {
    address publisher;
    string package;
    string version;
    bytes32 manifest;
    bytes32 content;
    uint256 expectedCount;
    bool makeLatest;
}

/// @dev Deploys the shipped bytecode, and shortens what most tests do.
abstract contract RegistryHelp {
    uint256 internal constant OWNER_KEY = 0xa11ce;
    uint256 internal constant OTHER_KEY = 0xb0b;
    uint256 internal constant NOW = 1_800_000_000;
    uint40 internal constant FOREVER = type(uint40).max;
    string internal constant PACKAGE = "fourteen-chars";

    IContentRegistry internal registry;
    address internal immutable owner = vm.addr(OWNER_KEY);
    address internal immutable other = vm.addr(OTHER_KEY);
    address internal constant relayer = address(0x5e17);

    function deployRegistry() internal returns (IContentRegistry deployed) {
        bytes memory code = vm.parseJsonBytes(vm.readFile("integrity/chain/ContentRegistry.json"), ".bytecode");
        assembly ("memory-safe") {
            deployed := create(0, add(code, 0x20), mload(code))
        }
        vm.assertTrue(address(deployed) != address(0), "the registry deploys");
    }

    /// @dev A publish of `version` by the owner, with digests of its own.
    function item(string memory version, uint256 expectedCount) internal view returns (Item memory) {
        return Item({
            publisher: owner,
            package: PACKAGE,
            version: version,
            manifest: manifestOf(version),
            content: keccak256(abi.encode("content", version)),
            expectedCount: expectedCount,
            makeLatest: true
        });
    }

    function manifestOf(string memory version) internal pure returns (bytes32) {
        return keccak256(abi.encode("manifest", version));
    }

    function publish(address sender, Item memory i) internal returns (uint256) {
        vm.prank(sender);
        return registry.publish(i.publisher, i.package, i.version, i.manifest, i.content, i.expectedCount, i.makeLatest);
    }

    /// @dev Publishes `count` releases of the owner: "1", "2" and so on.
    function publishMany(uint256 count) internal {
        for (uint256 n = 1; n <= count; ++n) {
            publish(owner, item(vm.toString(n), n - 1));
        }
    }

    function publishFails(address sender, Item memory i, bytes memory reason) internal {
        vm.expectRevert(reason);
        publish(sender, i);
    }

    function publishCall(Item memory i) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IContentRegistry.publish,
            (i.publisher, i.package, i.version, i.manifest, i.content, i.expectedCount, i.makeLatest)
        );
    }

    function headOf(address publisher, string memory package)
        internal
        view
        returns (IContentRegistry.Head memory head)
    {
        (head,) = registry.resolveLatest(publisher, package);
    }

    function releaseOf(string memory version) internal view returns (IContentRegistry.Release memory release) {
        (, release,) = registry.resolve(owner, PACKAGE, version);
    }

    // Errors, encoded as `vm.expectRevert` wants them.

    function unauthorized(address publisher, address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.Unauthorized.selector, publisher, account);
    }

    function nameInvalid(string memory name) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.NameInvalid.selector, name);
    }

    function zeroManifest() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.ZeroManifest.selector);
    }

    function releaseExists(uint256 sequence, bytes32 manifest) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.ReleaseExists.selector, sequence, manifest);
    }

    function sequenceConflict(uint256 expected, uint256 actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.SequenceConflict.selector, expected, actual);
    }

    function releaseUnknown(string memory version) internal view returns (bytes memory) {
        return
            abi.encodeWithSelector(
                IContentRegistry.ReleaseUnknown.selector, registry.releaseKey(owner, PACKAGE, version)
            );
    }

    function alreadyRevoked(uint8 reason) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.AlreadyRevoked.selector, reason);
    }

    function badSignature(address signer) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.BadSignature.selector, signer);
    }

    function callFailed(uint256 index, bytes memory reason) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IContentRegistry.CallFailed.selector, index, reason);
    }
}

abstract contract RegistryTest is RegistryHelp {
    function setUp() public virtual {
        registry = deployRegistry();
        vm.warp(NOW);
    }
}
