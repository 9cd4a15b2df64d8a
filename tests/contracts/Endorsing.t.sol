// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

contract EndorsingTest is RegistryTest {
    bytes32 internal constant MANIFEST = keccak256("manifest");

    function test_anyone_can_endorse_any_manifest_in_its_own_name() public {
        for (uint8 kind = 1; kind <= 3; ++kind) {
            vm.warp(NOW + kind);
            vm.expectEmit(address(registry));
            emit IContentRegistry.Endorsed(other, MANIFEST, kind);
            vm.prank(other);
            registry.endorse(MANIFEST, kind);
            expectEndorsement(other, MANIFEST, NOW + kind, kind);
        }
        expectEndorsement(owner, MANIFEST, 0, 0);
        expectEndorsement(other, keccak256("another"), 0, 0);
    }

    function test_an_endorsement_can_be_withdrawn_and_made_again() public {
        vm.prank(other);
        registry.endorse(MANIFEST, 2);
        vm.prank(owner);
        registry.endorse(MANIFEST, 1);
        vm.expectEmit(address(registry));
        emit IContentRegistry.EndorsementWithdrawn(other, MANIFEST);
        vm.prank(other);
        registry.withdrawEndorsement(MANIFEST);
        expectEndorsement(other, MANIFEST, 0, 0);
        expectEndorsement(owner, MANIFEST, NOW, 1);
        vm.prank(other);
        registry.endorse(MANIFEST, 3);
        expectEndorsement(other, MANIFEST, NOW, 3);
    }

    function test_only_an_endorser_can_withdraw() public {
        vm.prank(other);
        registry.endorse(MANIFEST, 2);
        expectNotEndorsed(owner);
    }

    function test_an_endorsement_is_withdrawn_once() public {
        vm.prank(other);
        registry.endorse(MANIFEST, 2);
        vm.prank(other);
        registry.withdrawEndorsement(MANIFEST);
        expectNotEndorsed(other);
    }

    function test_a_zero_manifest_cannot_be_endorsed() public {
        vm.expectRevert(zeroManifest());
        vm.prank(other);
        registry.endorse(0, 1);
    }

    function test_unknown_kinds_are_refused() public {
        uint8[3] memory kinds = [0, 4, 255];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IContentRegistry.KindInvalid.selector, kinds[i]));
            vm.prank(other);
            registry.endorse(MANIFEST, kinds[i]);
        }
    }

    function expectNotEndorsed(address account) internal {
        vm.expectRevert(abi.encodeWithSelector(IContentRegistry.NotEndorsed.selector, account, MANIFEST));
        vm.prank(account);
        registry.withdrawEndorsement(MANIFEST);
    }

    function expectEndorsement(address account, bytes32 manifest, uint256 endorsedAt, uint8 kind) internal view {
        (uint40 actualAt, uint8 actualKind) = registry.endorsements(account, manifest);
        vm.assertEq(actualAt, endorsedAt);
        vm.assertEq(actualKind, kind);
    }
}
