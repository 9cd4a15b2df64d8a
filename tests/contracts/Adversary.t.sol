// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item, RegistryTest} from "./RegistryTest.sol";
import {Signing} from "./Signing.sol";
import {vm} from "./Vm.sol";

/// @dev What somebody who watches the queue of transactions, or just wants another's name, can try.
contract AdversaryTest is RegistryTest, Signing {
    function test_a_name_cannot_be_squatted() public {
        Item memory i = item("1", 0);
        i.publisher = other;
        i.manifest = keccak256("evil");
        publish(other, i);
        publish(owner, item("1", 0));
        (,, bytes32 manifest) = registry.resolve(owner, PACKAGE, "1");
        vm.assertEq(manifest, manifestOf("1"));
    }

    function test_a_copied_transaction_lands_under_the_copiers_own_name_only() public {
        // The copier sends the same bytes first, then again with itself as the publisher.
        Item memory i = item("1", 0);
        publishFails(other, i, unauthorized(owner, other));
        i.publisher = other;
        publish(other, i);
        vm.assertEq(headOf(owner, PACKAGE).count, 0);
        vm.assertEq(publish(owner, item("1", 0)), 1);
        vm.assertEq(releaseOf("1").by, owner);
    }

    function test_sending_anothers_signed_release_first_only_pays_for_it() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        vm.prank(other);
        (bool ok,) = address(registry).call(sendCall(s));
        vm.assertTrue(ok, "sent by somebody else");
        vm.assertEq(releaseOf("1").by, owner);
        vm.assertEq(headOf(other, PACKAGE).count, 0);
    }

    function test_two_publishers_who_expect_the_same_count_do_not_cross() public {
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, other, FOREVER);
        publish(other, item("1", 0));
        publishFails(owner, item("2", 0), sequenceConflict(0, 1));
    }

    function test_moving_the_border_between_names_makes_another_key() public view {
        vm.assertNotEq(registry.releaseKey(owner, "ab", "c"), registry.releaseKey(owner, "a", "bc"));
        vm.assertNotEq(registry.packageKey(owner, "a"), registry.packageKey(owner, "a\x00"));
        vm.assertNotEq(registry.packageKey(owner, ""), registry.packageKey(owner, "\x00"));
        vm.assertNotEq(registry.releaseKey(owner, "", "a"), registry.packageKey(owner, "a"));
        vm.assertNotEq(registry.delegateKey(owner, "", other), registry.delegateKey(other, "", owner));
    }

    function test_different_names_have_different_keys(string calldata a, string calldata b, string calldata c)
        public
        view
    {
        string memory ab = string.concat(a, b);
        string memory bc = string.concat(b, c);
        if (bytes(b).length == 0) return;
        vm.assertNotEq(registry.releaseKey(owner, ab, c), registry.releaseKey(owner, a, bc));
        vm.assertNotEq(registry.packageKey(owner, ab), registry.packageKey(owner, a));
    }

    function test_strings_may_lie_anywhere_in_the_call_data() public {
        // Both names as one and the same piece of call data: an odd encoding, but no other meaning.
        bytes memory call = bytes.concat(
            IContentRegistry.publish.selector,
            abi.encode(owner, uint256(7 * 32), uint256(7 * 32), manifestOf("1"), bytes32(0), uint256(0), true),
            abi.encode(uint256(1), bytes32("1"))
        );
        vm.prank(owner);
        (bool ok,) = address(registry).call(call);
        vm.assertTrue(ok, "published");
        (, IContentRegistry.Release memory release,) = registry.resolve(owner, "1", "1");
        vm.assertEq(release.sequence, 1);
    }

    function test_dirty_upper_bits_of_an_address_are_refused() public {
        bytes memory call = publishCall(item("1", 0));
        call[4] = 0x01;
        vm.prank(owner);
        (bool ok,) = address(registry).call(call);
        vm.assertFalse(ok, "refused");
    }

    function test_the_registry_takes_no_ether() public {
        vm.deal(address(this), 10 ether);
        Item memory i = item("1", 0);
        i.publisher = address(this);
        // Each of these succeeds without ether, in this order.
        expectNoEther(publishCall(i));
        expectNoEther(sendCall(signed(item("1", 0), OWNER_KEY)));
        expectNoEther(abi.encodeCall(IContentRegistry.setLatest, (address(this), PACKAGE, "1")));
        expectNoEther(abi.encodeCall(IContentRegistry.revoke, (address(this), PACKAGE, "1", 1, "")));
        expectNoEther(abi.encodeCall(IContentRegistry.endorse, (i.manifest, 1)));
        expectNoEther(abi.encodeCall(IContentRegistry.withdrawEndorsement, (i.manifest)));
        expectNoEther(abi.encodeCall(IContentRegistry.transferController, (address(this), address(this))));
        expectNoEther(abi.encodeCall(IContentRegistry.acceptController, (address(this))));
        expectNoEther(abi.encodeCall(IContentRegistry.setDelegate, (address(this), "", other, FOREVER)));
        expectNoEther(abi.encodeCall(IContentRegistry.multicall, (new bytes[](0))));
        expectNoEther(abi.encodeCall(IContentRegistry.controllerOf, (owner)));
        (bool ok,) = address(registry).call{value: 1}("");
        vm.assertFalse(ok, "a plain transfer was taken");
        vm.assertEq(address(registry).balance, 0);
    }

    function expectNoEther(bytes memory call) internal {
        (bool ok,) = address(registry).call{value: 1}(call);
        vm.assertFalse(ok, "ether was taken");
        (ok,) = address(registry).call(call);
        vm.assertTrue(ok, "refused without ether, too");
    }
}
