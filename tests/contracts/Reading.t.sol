// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

contract ReadingTest is RegistryTest {
    function test_what_is_not_there_reads_as_zeros() public view {
        (IContentRegistry.Head memory head, IContentRegistry.Release memory release, bytes32 manifest) =
            registry.resolve(owner, PACKAGE, "1");
        vm.assertEq(keccak256(abi.encode(head, release, manifest)), keccak256(new bytes(8 * 32)));
        (head, manifest) = registry.resolveLatest(owner, PACKAGE);
        vm.assertEq(keccak256(abi.encode(head, manifest)), keccak256(new bytes(4 * 32)));
        vm.assertEq(registry.history(owner, PACKAGE, 1, 10).length, 0);
    }

    function test_an_unknown_version_of_a_known_package_reads_as_zeros_beside_the_head() public {
        publishMany(2);
        (IContentRegistry.Head memory head, IContentRegistry.Release memory release, bytes32 manifest) =
            registry.resolve(owner, PACKAGE, "3");
        vm.assertEq(head.count, 2);
        vm.assertEq(release.sequence, 0);
        vm.assertEq(manifest, 0);
    }

    function test_the_latest_manifest_is_that_of_the_latest_release() public {
        publishMany(3);
        vm.prank(owner);
        registry.setLatest(owner, PACKAGE, "2");
        (IContentRegistry.Head memory head, bytes32 manifest) = registry.resolveLatest(owner, PACKAGE);
        vm.assertEq(head.latest, 2);
        vm.assertEq(manifest, manifestOf("2"));
    }

    function test_the_history_is_read_in_pages() public {
        publishMany(5);
        expectHistory(1, 5, 1, 5);
        expectHistory(0, 5, 1, 5);
        expectHistory(1, 2, 1, 2);
        expectHistory(3, 2, 3, 2);
        expectHistory(4, 10, 4, 2);
        expectHistory(5, type(uint256).max, 5, 1);
        expectHistory(6, 1, 6, 0);
        expectHistory(type(uint256).max, type(uint256).max, 0, 0);
        expectHistory(1, 0, 1, 0);
    }

    function test_keys_are_hashes_of_encoded_names() public view {
        bytes32 key = keccak256(abi.encode(owner, PACKAGE));
        vm.assertEq(registry.packageKey(owner, PACKAGE), key);
        vm.assertEq(registry.releaseKey(owner, PACKAGE, "1.0.0"), keccak256(abi.encode(key, "1.0.0")));
        vm.assertEq(registry.delegateKey(owner, PACKAGE, other), keccak256(abi.encode(owner, uint256(0), key, other)));
        vm.assertEq(registry.delegateKey(owner, "", other), keccak256(abi.encode(owner, uint256(0), bytes32(0), other)));
    }

    function test_authority_is_what_publishing_asks_for() public {
        vm.assertTrue(registry.isAuthorized(owner, PACKAGE, owner), "the publisher");
        vm.assertFalse(registry.isAuthorized(owner, PACKAGE, other), "a stranger");
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, other, FOREVER);
        vm.assertTrue(registry.isAuthorized(owner, PACKAGE, other), "a delegate");
        vm.assertFalse(registry.isAuthorized(owner, "another", other), "of another package");
        vm.prank(owner);
        registry.setDelegate(owner, "", other, FOREVER);
        vm.assertTrue(registry.isAuthorized(owner, "another", other), "a delegate for all");
    }

    function expectHistory(uint256 from, uint256 max, uint256 first, uint256 count) internal view {
        bytes32[] memory digests = registry.history(owner, PACKAGE, from, max);
        vm.assertEq(digests.length, count);
        for (uint256 i = 0; i < count; ++i) {
            vm.assertEq(digests[i], manifestOf(vm.toString(first + i)));
        }
    }
}
