// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item, RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

contract DelegationTest is RegistryTest {
    address internal constant DELEGATE = address(0xde1e);
    address internal constant HEIR = address(0x4e14);

    function test_a_delegate_for_a_package_publishes_that_package_only() public {
        setDelegate(PACKAGE, DELEGATE, FOREVER);
        publish(DELEGATE, item("1", 0));
        IContentRegistry.Release memory release = releaseOf("1");
        vm.assertEq(release.by, DELEGATE);
        vm.assertEq(headOf(owner, PACKAGE).latest, 1, "delegates can make it the latest");
        publishFails(DELEGATE, otherPackage(), unauthorized(owner, DELEGATE));
    }

    function test_a_delegate_for_all_packages_publishes_any() public {
        setDelegate("", DELEGATE, FOREVER);
        publish(DELEGATE, item("1", 0));
        publish(DELEGATE, otherPackage());
    }

    function test_a_delegate_of_one_publisher_is_none_of_another() public {
        setDelegate("", DELEGATE, FOREVER);
        Item memory i = item("1", 0);
        i.publisher = other;
        publishFails(DELEGATE, i, unauthorized(other, DELEGATE));
    }

    function test_a_delegate_loses_its_right_in_the_second_of_its_expiry() public {
        setDelegate(PACKAGE, DELEGATE, uint40(NOW + 100));
        vm.warp(NOW + 99);
        vm.assertTrue(registry.isAuthorized(owner, PACKAGE, DELEGATE), "the last second");
        publish(DELEGATE, item("1", 0));
        vm.warp(NOW + 100);
        vm.assertFalse(registry.isAuthorized(owner, PACKAGE, DELEGATE), "expired");
        publishFails(DELEGATE, item("2", 1), unauthorized(owner, DELEGATE));
    }

    function test_a_delegate_for_all_packages_loses_its_right_in_the_same_second() public {
        setDelegate("", DELEGATE, uint40(NOW + 100));
        vm.warp(NOW + 99);
        publish(DELEGATE, item("1", 0));
        vm.warp(NOW + 100);
        vm.assertFalse(registry.isAuthorized(owner, PACKAGE, DELEGATE), "expired");
        publishFails(DELEGATE, item("2", 1), unauthorized(owner, DELEGATE));
    }

    function test_an_expiry_that_passed_is_refused() public {
        uint40[3] memory expiries = [uint40(NOW), uint40(NOW - 1), 1];
        for (uint256 i = 0; i < expiries.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IContentRegistry.ExpiryPassed.selector, expiries[i]));
            setDelegate(PACKAGE, DELEGATE, expiries[i]);
        }
        setDelegate(PACKAGE, DELEGATE, uint40(NOW + 1));
    }

    function test_setting_a_delegate_is_told() public {
        vm.expectEmit(address(registry));
        emit IContentRegistry.DelegateSet(owner, DELEGATE, PACKAGE, 0, FOREVER);
        setDelegate(PACKAGE, DELEGATE, FOREVER);
        vm.assertEq(registry.delegates(registry.delegateKey(owner, PACKAGE, DELEGATE)), FOREVER);
        handOver();
        vm.expectEmit(address(registry));
        emit IContentRegistry.DelegateSet(owner, DELEGATE, "", 1, 0);
        vm.prank(HEIR);
        registry.setDelegate(owner, "", DELEGATE, 0);
    }

    function test_a_removed_delegate_cannot_publish() public {
        setDelegate(PACKAGE, DELEGATE, FOREVER);
        publish(DELEGATE, item("1", 0));
        setDelegate(PACKAGE, DELEGATE, 0);
        publishFails(DELEGATE, item("2", 1), unauthorized(owner, DELEGATE));
        vm.assertEq(releaseOf("1").sequence, 1, "what it published stays");
    }

    function test_the_right_to_one_package_and_the_right_to_all_are_separate() public {
        setDelegate(PACKAGE, DELEGATE, FOREVER);
        setDelegate("", DELEGATE, FOREVER);
        setDelegate(PACKAGE, DELEGATE, 0);
        publish(DELEGATE, item("1", 0));
        setDelegate("", DELEGATE, 0);
        publishFails(DELEGATE, item("2", 1), unauthorized(owner, DELEGATE));
    }

    function test_a_delegate_can_do_nothing_but_publish() public {
        setDelegate("", DELEGATE, FOREVER);
        setDelegate(PACKAGE, DELEGATE, FOREVER);
        publishMany(1);
        bytes[5] memory calls = [
            abi.encodeCall(IContentRegistry.setLatest, (owner, PACKAGE, "1")),
            abi.encodeCall(IContentRegistry.revoke, (owner, PACKAGE, "1", 1, "")),
            abi.encodeCall(IContentRegistry.setDelegate, (owner, PACKAGE, other, FOREVER)),
            abi.encodeCall(IContentRegistry.transferController, (owner, DELEGATE)),
            abi.encodeCall(IContentRegistry.acceptController, (owner))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(DELEGATE);
            (bool ok, bytes memory reason) = address(registry).call(calls[i]);
            vm.assertFalse(ok, "refused");
            vm.assertEq(keccak256(reason), keccak256(unauthorized(owner, DELEGATE)));
        }
    }

    function test_strangers_cannot_set_delegates_or_offer_control() public {
        vm.expectRevert(unauthorized(owner, other));
        vm.prank(other);
        registry.setDelegate(owner, "", other, FOREVER);
        vm.expectRevert(unauthorized(owner, other));
        vm.prank(other);
        registry.transferController(owner, other);
    }

    function test_a_publisher_controls_itself_until_it_hands_over() public {
        vm.assertEq(registry.controllerOf(owner), owner);
        (address controller, uint48 epoch) = registry.publishers(owner);
        vm.assertEq(controller, address(0));
        vm.assertEq(epoch, 0);
    }

    function test_control_moves_in_two_steps() public {
        vm.expectEmit(address(registry));
        emit IContentRegistry.ControllerTransferStarted(owner, owner, HEIR);
        vm.prank(owner);
        registry.transferController(owner, HEIR);
        vm.assertEq(registry.pendingControllers(owner), HEIR);
        vm.assertEq(registry.controllerOf(owner), owner, "until it accepts");
        publishFails(HEIR, item("1", 0), unauthorized(owner, HEIR));
        publish(owner, item("1", 0));

        vm.expectEmit(address(registry));
        emit IContentRegistry.ControllerTransferred(owner, owner, HEIR, 1);
        vm.prank(HEIR);
        registry.acceptController(owner);
        vm.assertEq(registry.pendingControllers(owner), address(0));
        (address controller, uint48 epoch) = registry.publishers(owner);
        vm.assertEq(controller, HEIR);
        vm.assertEq(epoch, 1);
        publish(HEIR, item("2", 1));
        publishFails(owner, item("3", 2), unauthorized(owner, owner));
    }

    function test_only_the_account_that_was_offered_control_accepts_it() public {
        vm.prank(owner);
        registry.transferController(owner, HEIR);
        expectNoTakeover(other);
        expectNoTakeover(owner);
    }

    function test_an_offer_is_accepted_once() public {
        handOver();
        expectNoTakeover(HEIR);
    }

    function test_an_offer_can_be_withdrawn() public {
        vm.prank(owner);
        registry.transferController(owner, HEIR);
        vm.expectEmit(address(registry));
        emit IContentRegistry.ControllerTransferStarted(owner, owner, address(0));
        vm.prank(owner);
        registry.transferController(owner, address(0));
        expectNoTakeover(HEIR);
        expectNoTakeover(address(0));
    }

    function test_a_later_offer_replaces_an_earlier_one() public {
        vm.prank(owner);
        registry.transferController(owner, HEIR);
        vm.prank(owner);
        registry.transferController(owner, other);
        expectNoTakeover(HEIR);
        vm.prank(other);
        registry.acceptController(owner);
        vm.assertEq(registry.controllerOf(owner), other);
    }

    function test_an_offer_of_one_publisher_gives_no_other() public {
        vm.prank(owner);
        registry.transferController(owner, HEIR);
        vm.expectRevert(unauthorized(other, HEIR));
        vm.prank(HEIR);
        registry.acceptController(other);
    }

    function test_a_former_controller_can_do_nothing_more() public {
        publishMany(1);
        handOver();
        vm.expectRevert(unauthorized(owner, owner));
        vm.prank(owner);
        registry.revoke(owner, PACKAGE, "1", 1, "");
        vm.expectRevert(unauthorized(owner, owner));
        vm.prank(owner);
        registry.transferController(owner, owner);
    }

    function test_control_can_come_back() public {
        handOver();
        vm.expectEmit(address(registry));
        emit IContentRegistry.ControllerTransferStarted(owner, HEIR, owner);
        vm.prank(HEIR);
        registry.transferController(owner, owner);
        vm.expectEmit(address(registry));
        emit IContentRegistry.ControllerTransferred(owner, HEIR, owner, 2);
        vm.prank(owner);
        registry.acceptController(owner);
        vm.assertEq(registry.controllerOf(owner), owner);
        (, uint48 epoch) = registry.publishers(owner);
        vm.assertEq(epoch, 2);
        publish(owner, item("1", 0));
    }

    function test_a_rotation_ends_all_earlier_delegates() public {
        setDelegate(PACKAGE, DELEGATE, FOREVER);
        setDelegate("", other, FOREVER);
        publish(DELEGATE, item("1", 0));
        handOver();
        publishFails(DELEGATE, item("2", 1), unauthorized(owner, DELEGATE));
        publishFails(other, item("2", 1), unauthorized(owner, other));
        vm.assertEq(releaseOf("1").by, DELEGATE, "earlier releases stand");
        vm.prank(HEIR);
        registry.setDelegate(owner, PACKAGE, DELEGATE, FOREVER);
        publish(DELEGATE, item("2", 1));
    }

    function test_delegates_do_not_come_back_with_an_earlier_controller() public {
        setDelegate("", DELEGATE, FOREVER);
        handOver();
        vm.prank(HEIR);
        registry.transferController(owner, owner);
        vm.prank(owner);
        registry.acceptController(owner);
        publishFails(DELEGATE, item("1", 0), unauthorized(owner, DELEGATE));
    }

    function test_a_controller_ends_all_delegates_by_taking_over_from_itself() public {
        setDelegate("", DELEGATE, FOREVER);
        vm.prank(owner);
        registry.transferController(owner, owner);
        vm.prank(owner);
        registry.acceptController(owner);
        publishFails(DELEGATE, item("1", 0), unauthorized(owner, DELEGATE));
        publish(owner, item("1", 0));
    }

    function test_an_address_handed_over_names_nobody_else() public {
        // The heir's own name is not the publisher's: each keeps its packages.
        handOver();
        publish(HEIR, item("1", 0));
        vm.assertEq(headOf(HEIR, PACKAGE).count, 0);
        vm.assertEq(headOf(owner, PACKAGE).count, 1);
        vm.assertEq(registry.controllerOf(HEIR), HEIR);
    }

    function otherPackage() internal view returns (Item memory i) {
        i = item("1", 0);
        i.package = "another";
    }

    function setDelegate(string memory package, address delegate, uint40 expiry) internal {
        vm.prank(owner);
        registry.setDelegate(owner, package, delegate, expiry);
    }

    function handOver() internal {
        vm.prank(owner);
        registry.transferController(owner, HEIR);
        vm.prank(HEIR);
        registry.acceptController(owner);
    }

    function expectNoTakeover(address account) internal {
        vm.expectRevert(unauthorized(owner, account));
        vm.prank(account);
        registry.acceptController(owner);
    }
}
