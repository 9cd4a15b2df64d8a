// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item, RegistryTest} from "./RegistryTest.sol";
import {Signing} from "./Signing.sol";
import {vm} from "./Vm.sol";

contract MulticallTest is RegistryTest, Signing {
    function test_many_releases_are_published_at_once() public {
        bytes[] memory calls = new bytes[](100);
        for (uint256 n = 0; n < 100; ++n) {
            calls[n] = publishCall(item(vm.toString(n + 1), n));
        }
        multicall(owner, calls);
        vm.assertEq(headOf(owner, PACKAGE).count, 100);
        vm.assertEq(headOf(owner, PACKAGE).latest, 100);
        bytes32[] memory digests = registry.history(owner, PACKAGE, 1, 200);
        for (uint256 n = 0; n < 100; ++n) {
            vm.assertEq(digests[n], manifestOf(vm.toString(n + 1)));
        }
    }

    function test_calls_of_every_kind_go_together() public {
        bytes[] memory calls = new bytes[](6);
        calls[0] = publishCall(item("1", 0));
        calls[1] = publishCall(item("2", 1));
        calls[2] = abi.encodeCall(IContentRegistry.revoke, (owner, PACKAGE, "1", 2, "old"));
        calls[3] = abi.encodeCall(IContentRegistry.endorse, (manifestOf("2"), 1));
        calls[4] = abi.encodeCall(IContentRegistry.setDelegate, (owner, PACKAGE, other, FOREVER));
        calls[5] = abi.encodeCall(IContentRegistry.transferController, (owner, other));
        multicall(owner, calls);
        vm.assertEq(releaseOf("1").revocation, 2);
        vm.assertEq(releaseOf("2").by, owner, "the sender is kept");
        (, uint8 kind) = registry.endorsements(owner, manifestOf("2"));
        vm.assertEq(kind, 1);
        vm.assertEq(registry.delegates(registry.delegateKey(owner, PACKAGE, other)), FOREVER);
        vm.assertEq(registry.pendingControllers(owner), other);
    }

    function test_a_failing_call_is_named_and_undoes_all() public {
        bytes[] memory calls = new bytes[](3);
        calls[0] = publishCall(item("1", 0));
        calls[1] = publishCall(item("2", 0));
        calls[2] = publishCall(item("3", 2));
        multicallFails(owner, calls, callFailed(1, sequenceConflict(0, 1)));
        vm.assertEq(headOf(owner, PACKAGE).count, 0);
        vm.assertEq(releaseOf("1").sequence, 0);
    }

    function test_a_multicall_gives_nobody_more_rights() public {
        bytes[] memory calls = new bytes[](1);
        calls[0] = publishCall(item("1", 0));
        multicallFails(other, calls, callFailed(0, unauthorized(owner, other)));
        // Nor does one inside another make the contract itself the sender.
        bytes[] memory outer = new bytes[](1);
        outer[0] = abi.encodeCall(IContentRegistry.multicall, (calls));
        multicallFails(other, outer, callFailed(0, callFailed(0, unauthorized(owner, other))));
        multicall(owner, outer);
        vm.assertEq(releaseOf("1").by, owner);
    }

    function test_calls_of_nothing_fail() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = publishCall(item("1", 0));
        calls[1] = hex"00000000";
        multicallFails(owner, calls, callFailed(1, ""));
        calls[1] = "";
        multicallFails(owner, calls, callFailed(1, ""));
    }

    function test_an_empty_multicall_does_nothing() public {
        multicall(other, new bytes[](0));
    }

    function test_signed_releases_of_several_publishers_go_in_one_transaction() public {
        Item memory i = item("1", 0);
        i.publisher = other;
        bytes[] memory calls = new bytes[](2);
        calls[0] = sendCall(signed(item("1", 0), OWNER_KEY));
        calls[1] = sendCall(signed(i, OTHER_KEY));
        multicall(relayer, calls);
        vm.assertEq(headOf(owner, PACKAGE).count, 1);
        vm.assertEq(headOf(other, PACKAGE).count, 1);
    }

    function test_a_signed_release_that_somebody_sent_first_fails_the_batch() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        Item memory i = item("1", 0);
        i.publisher = other;
        bytes[] memory calls = new bytes[](2);
        calls[0] = sendCall(signed(i, OTHER_KEY));
        calls[1] = sendCall(s);
        send(s);
        multicallFails(relayer, calls, callFailed(1, releaseExists(1, s.item.manifest)));
        vm.assertEq(headOf(other, PACKAGE).count, 0);
    }

    function multicall(address sender, bytes[] memory calls) internal {
        vm.prank(sender);
        registry.multicall(calls);
    }

    function multicallFails(address sender, bytes[] memory calls, bytes memory reason) internal {
        vm.expectRevert(reason);
        multicall(sender, calls);
    }
}
