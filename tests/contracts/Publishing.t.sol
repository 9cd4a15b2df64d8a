// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item, RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

contract PublishingTest is RegistryTest {
    function test_the_first_release_gets_sequence_one() public {
        vm.assertEq(publish(owner, item("1.0.0", 0)), 1);
        IContentRegistry.Head memory head = headOf(owner, PACKAGE);
        vm.assertEq(head.count, 1);
        vm.assertEq(head.latest, 1);
        vm.assertEq(head.updatedAt, NOW);
    }

    function test_a_release_is_recorded_whole() public {
        publishMany(1);
        vm.warp(NOW + 7);
        Item memory i = item("1.0.0", 1);
        vm.assertEq(publish(owner, i), 2);
        (IContentRegistry.Head memory head, IContentRegistry.Release memory release, bytes32 manifest) =
            registry.resolve(owner, PACKAGE, "1.0.0");
        vm.assertEq(head.count, 2);
        vm.assertEq(release.sequence, 2);
        vm.assertEq(release.publishedAt, NOW + 7);
        vm.assertEq(release.revocation, 0);
        vm.assertEq(release.by, owner);
        vm.assertEq(manifest, i.manifest);
    }

    function test_publishing_tells_who_what_and_where() public {
        Item memory i = item("1.0.0", 0);
        vm.expectEmit(address(registry));
        emit IContentRegistry.Released(
            owner, registry.packageKey(owner, PACKAGE), i.content, PACKAGE, "1.0.0", i.manifest, 1, owner, true
        );
        publish(owner, i);

        i = item("0.9.1", 1);
        i.makeLatest = false;
        vm.expectEmit(address(registry));
        emit IContentRegistry.Released(
            owner, registry.packageKey(owner, PACKAGE), i.content, PACKAGE, "0.9.1", i.manifest, 2, owner, false
        );
        publish(owner, i);
    }

    function test_a_release_that_is_not_made_latest_leaves_the_latest() public {
        Item memory i = item("0.1", 0);
        i.makeLatest = false;
        publish(owner, i);
        vm.assertEq(headOf(owner, PACKAGE).latest, 0, "none yet");
        publish(owner, item("2.0.0", 1));
        i = item("1.1.9", 2);
        i.makeLatest = false;
        vm.warp(NOW + 1);
        publish(owner, i);
        IContentRegistry.Head memory head = headOf(owner, PACKAGE);
        vm.assertEq(head.count, 3);
        vm.assertEq(head.latest, 2);
        vm.assertEq(head.updatedAt, NOW + 1);
    }

    function test_a_version_is_written_once() public {
        publishMany(2);
        publishFails(owner, item("1", 2), releaseExists(1, manifestOf("1")));
        Item memory i = item("2", 2);
        i.manifest = keccak256("another");
        publishFails(owner, i, releaseExists(2, manifestOf("2")));
    }

    function test_a_repeated_call_learns_that_it_was_recorded() public {
        publishMany(1);
        publishFails(owner, item("1", 0), releaseExists(1, manifestOf("1")));
    }

    function test_a_wrong_count_conflicts() public {
        publishFails(owner, item("1", 1), sequenceConflict(1, 0));
        publishMany(2);
        publishFails(owner, item("3", 1), sequenceConflict(1, 2));
        publishFails(owner, item("3", 3), sequenceConflict(3, 2));
        publishFails(owner, item("3", type(uint256).max), sequenceConflict(type(uint256).max, 2));
        // What is compared is the whole word, not the 48 bits that are stored.
        publishFails(owner, item("3", (1 << 48) + 2), sequenceConflict((1 << 48) + 2, 2));
    }

    function test_a_zero_manifest_is_refused() public {
        Item memory i = item("1", 0);
        i.manifest = 0;
        publishFails(owner, i, zeroManifest());
    }

    function test_a_stranger_cannot_publish() public {
        publishFails(other, item("1", 0), unauthorized(owner, other));
    }

    function test_one_version_string_in_two_packages_is_two_releases() public {
        publishMany(1);
        Item memory i = item("1", 0);
        i.package = "another";
        i.manifest = keccak256("another");
        publish(owner, i);
        (,, bytes32 manifest) = registry.resolve(owner, PACKAGE, "1");
        vm.assertEq(manifest, manifestOf("1"));
        (,, manifest) = registry.resolve(owner, "another", "1");
        vm.assertEq(manifest, keccak256("another"));
    }

    function test_the_latest_can_be_moved_to_an_earlier_release() public {
        publishMany(3);
        vm.warp(NOW + 5);
        vm.expectEmit(address(registry));
        emit IContentRegistry.LatestChanged(owner, registry.packageKey(owner, PACKAGE), PACKAGE, "2", 2);
        vm.prank(owner);
        registry.setLatest(owner, PACKAGE, "2");
        (IContentRegistry.Head memory head, bytes32 manifest) = registry.resolveLatest(owner, PACKAGE);
        vm.assertEq(head.count, 3);
        vm.assertEq(head.latest, 2);
        vm.assertEq(head.updatedAt, NOW + 5);
        vm.assertEq(manifest, manifestOf("2"));
    }

    function test_an_unknown_version_cannot_become_the_latest() public {
        publishMany(1);
        vm.expectRevert(releaseUnknown("2"));
        vm.prank(owner);
        registry.setLatest(owner, PACKAGE, "2");
    }

    function test_a_revoked_release_cannot_become_the_latest() public {
        publishMany(2);
        revoke("1", 4);
        vm.expectRevert(alreadyRevoked(4));
        vm.prank(owner);
        registry.setLatest(owner, PACKAGE, "1");
    }

    function test_a_stranger_cannot_move_the_latest() public {
        publishMany(2);
        vm.expectRevert(unauthorized(owner, other));
        vm.prank(other);
        registry.setLatest(owner, PACKAGE, "1");
    }

    function test_a_revocation_is_recorded_and_told() public {
        publishMany(2);
        vm.warp(NOW + 9);
        vm.expectEmit(address(registry));
        emit IContentRegistry.Revoked(
            owner, registry.packageKey(owner, PACKAGE), PACKAGE, "1", 1, 255, "the build machine was broken into"
        );
        vm.prank(owner);
        registry.revoke(owner, PACKAGE, "1", 255, "the build machine was broken into");
        IContentRegistry.Release memory release = releaseOf("1");
        vm.assertEq(release.revocation, 255);
        vm.assertEq(release.sequence, 1);
        vm.assertEq(release.publishedAt, NOW);
        vm.assertEq(release.by, owner);
        IContentRegistry.Head memory head = headOf(owner, PACKAGE);
        vm.assertEq(head.updatedAt, NOW + 9, "else hiding a revocation would be no rollback");
        vm.assertEq(head.count, 2);
        vm.assertEq(head.latest, 2);
        vm.assertEq(releaseOf("2").revocation, 0, "the other release");
    }

    function test_a_revoked_latest_stays_the_latest() public {
        publishMany(2);
        revoke("2", 1);
        vm.assertEq(headOf(owner, PACKAGE).latest, 2);
    }

    function test_a_revocation_is_final() public {
        publishMany(1);
        revoke("1", 3);
        vm.expectRevert(alreadyRevoked(3));
        vm.prank(owner);
        registry.revoke(owner, PACKAGE, "1", 4, "");
        publishFails(owner, item("1", 1), releaseExists(1, manifestOf("1")));
    }

    function test_a_revocation_needs_a_reason() public {
        publishMany(1);
        vm.expectRevert(abi.encodeWithSelector(IContentRegistry.ReasonInvalid.selector, uint8(0)));
        vm.prank(owner);
        registry.revoke(owner, PACKAGE, "1", 0, "");
    }

    function test_an_unknown_release_cannot_be_revoked() public {
        vm.expectRevert(releaseUnknown("1"));
        vm.prank(owner);
        registry.revoke(owner, PACKAGE, "1", 1, "");
    }

    function test_a_stranger_cannot_revoke() public {
        publishMany(1);
        vm.expectRevert(unauthorized(owner, other));
        vm.prank(other);
        registry.revoke(owner, PACKAGE, "1", 1, "");
    }

    function revoke(string memory version, uint8 reason) internal {
        vm.prank(owner);
        registry.revoke(owner, PACKAGE, version, reason, "");
    }
}
