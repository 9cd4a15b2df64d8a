// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item, RegistryTest} from "./RegistryTest.sol";
import {Signing} from "./Signing.sol";
import {vm} from "./Vm.sol";
import {
    AnsweringWallet,
    KeyWallet,
    ReenteringWallet,
    RevertingWallet,
    WalletThatRevertsWithAYes,
    WalletWithAFallback,
    WalletWithoutTheMethod
} from "./Wallets.sol";

contract SignaturesTest is RegistryTest, Signing {
    function test_anyone_can_send_what_the_controller_signed() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        vm.expectEmit(address(registry));
        emit IContentRegistry.Released(
            owner, registry.packageKey(owner, PACKAGE), s.item.content, PACKAGE, "1", s.item.manifest, 1, owner, true
        );
        vm.assertEq(send(s), 1);
        vm.assertEq(releaseOf("1").by, owner, "the signer, not the sender");
    }

    function test_anyone_can_send_what_a_delegate_signed() public {
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, other, FOREVER);
        send(signed(item("1", 0), OTHER_KEY));
        vm.assertEq(releaseOf("1").by, other);
    }

    function test_a_good_signature_of_a_stranger_is_not_enough() public {
        sendFails(signed(item("1", 0), OTHER_KEY), unauthorized(owner, other));
    }

    function test_authority_is_asked_when_the_signature_is_used() public {
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, other, uint40(NOW + 10));
        Signed memory s = signed(item("1", 0), OTHER_KEY);
        vm.warp(NOW + 10);
        sendFails(s, unauthorized(owner, other));
    }

    function test_a_rotation_ends_what_the_former_controller_signed() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        vm.prank(owner);
        registry.transferController(owner, other);
        vm.prank(other);
        registry.acceptController(owner);
        sendFails(s, unauthorized(owner, owner));
    }

    function test_a_signed_publish_is_held_to_every_rule_of_a_publish() public {
        publishMany(1);
        sendFails(signed(item("1", 1), OWNER_KEY), releaseExists(1, manifestOf("1")));
        sendFails(signed(item("2", 5), OWNER_KEY), sequenceConflict(5, 1));
        sendFails(signed(item("not a version", 1), OWNER_KEY), nameInvalid("not a version"));
        Item memory i = item("2", 1);
        i.manifest = 0;
        sendFails(signed(i, OWNER_KEY), zeroManifest());
    }

    function test_a_signature_is_used_once() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        send(s);
        sendFails(s, releaseExists(1, s.item.manifest));
    }

    function test_a_signature_for_another_sequence_is_refused() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        publish(owner, item("2", 0));
        sendFails(s, sequenceConflict(0, 1));
    }

    function test_a_signature_is_good_until_its_deadline() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        vm.warp(s.deadline + 1);
        sendFails(s, abi.encodeWithSelector(IContentRegistry.SignatureExpired.selector, s.deadline));
        vm.warp(s.deadline);
        send(s);
    }

    function test_a_signature_for_another_chain_is_refused() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        vm.chainId(block.chainid + 1);
        sendFails(s, badSignature(owner));
    }

    function test_the_domain_follows_the_chain_after_a_fork() public {
        vm.assertEq(registry.domainSeparator(), separator(block.chainid, address(registry)));
        vm.chainId(block.chainid + 1);
        vm.assertEq(registry.domainSeparator(), separator(block.chainid, address(registry)));
        send(signed(item("1", 0), OWNER_KEY));
    }

    function test_a_signature_for_another_contract_is_refused() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        s.signature = sign(OWNER_KEY, digestOf(s, separator(block.chainid, address(deployRegistry()))));
        sendFails(s, badSignature(owner));
    }

    function test_every_argument_is_signed() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        for (uint256 field = 0; field < 8; ++field) {
            Signed memory changed = abi.decode(abi.encode(s), (Signed));
            if (field == 0) changed.item.publisher = other;
            if (field == 1) changed.item.package = "another";
            if (field == 2) changed.item.version = "2";
            if (field == 3) changed.item.manifest = keccak256("another");
            if (field == 4) changed.item.content = keccak256("another");
            if (field == 5) changed.item.expectedCount = 1;
            if (field == 6) changed.item.makeLatest = false;
            if (field == 7) changed.deadline += 1;
            sendFails(changed, badSignature(owner));
        }
        s.signer = other;
        sendFails(s, badSignature(other));
    }

    function test_the_border_between_two_strings_is_signed() public {
        Item memory i = item("1", 0);
        i.package = "ab";
        i.version = "c";
        Signed memory s = signed(i, OWNER_KEY);
        s.item.package = "a";
        s.item.version = "bc";
        sendFails(s, badSignature(owner));
    }

    function test_the_other_s_of_a_signature_is_refused() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        (uint8 v, bytes32 r, bytes32 low) = vm.sign(OWNER_KEY, digestOf(s));
        bytes32 high = bytes32(ORDER - uint256(low));
        vm.assertEq(ecrecover(digestOf(s), v ^ 7, r, high), owner, "a signature that the curve accepts");
        s.signature = bytes.concat(r, high, bytes1(v ^ 7));
        sendFails(s, badSignature(owner));
    }

    function test_signatures_of_other_lengths_are_refused() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        bytes memory good = s.signature;
        s.signature = "";
        sendFails(s, badSignature(owner));
        s.signature = bytes.concat(good, hex"00");
        sendFails(s, badSignature(owner));
        (uint8 v, bytes32 r, bytes32 low) = vm.sign(OWNER_KEY, digestOf(s));
        s.signature = bytes.concat(r, low); // no v
        sendFails(s, badSignature(owner));
        s.signature = bytes.concat(r, bytes32(uint256(low) | uint256(v - 27) << 255)); // EIP-2098
        sendFails(s, badSignature(owner));
    }

    function test_a_v_other_than_27_and_28_is_refused() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        uint8 good = uint8(s.signature[64]);
        uint8[6] memory others = [0, 1, 26, 29, good ^ 7, 255];
        for (uint256 i = 0; i < others.length; ++i) {
            s.signature[64] = bytes1(others[i]);
            sendFails(s, badSignature(owner));
        }
    }

    function test_the_zero_address_never_signs() public {
        // It controls the publisher of the same name, and is what a failed recovery answers.
        Item memory i = item("1", 0);
        i.publisher = address(0);
        Signed memory s = Signed({item: i, signer: address(0), deadline: NOW, signature: new bytes(65)});
        sendFails(s, badSignature(address(0)));
    }

    function test_a_contract_account_signs_by_erc_1271() public {
        KeyWallet wallet = new KeyWallet(other);
        Signed memory s = byWallet(address(wallet));
        (uint8 v, bytes32 r, bytes32 low) = vm.sign(OTHER_KEY, digestOf(s));
        s.signature = abi.encode(r, low, v);
        vm.assertEq(send(s), 1);
        (, IContentRegistry.Release memory release,) = registry.resolve(address(wallet), PACKAGE, "1");
        vm.assertEq(release.by, address(wallet));
    }

    function test_a_contract_account_can_be_a_delegate() public {
        KeyWallet wallet = new KeyWallet(other);
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, address(wallet), FOREVER);
        Signed memory s = byWallet(address(wallet));
        s.item.publisher = owner;
        (uint8 v, bytes32 r, bytes32 low) = vm.sign(OTHER_KEY, digestOf(s));
        s.signature = abi.encode(r, low, v);
        send(s);
        vm.assertEq(releaseOf("1").by, address(wallet));
    }

    function test_one_owners_signature_for_one_wallet_is_none_for_its_other() public {
        // Both wallets have one key and are delegates: the signer is part of what is signed.
        KeyWallet first = new KeyWallet(other);
        KeyWallet second = new KeyWallet(other);
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, address(first), FOREVER);
        vm.prank(owner);
        registry.setDelegate(owner, PACKAGE, address(second), FOREVER);
        Signed memory s = byWallet(address(first));
        s.item.publisher = owner;
        (uint8 v, bytes32 r, bytes32 low) = vm.sign(OTHER_KEY, digestOf(s));
        s.signature = abi.encode(r, low, v);
        s.signer = address(second);
        sendFails(s, badSignature(address(second)));
    }

    function test_a_contract_account_that_says_no_is_believed() public {
        Signed memory s = byWallet(address(new KeyWallet(other)));
        (uint8 v, bytes32 r, bytes32 low) = vm.sign(OWNER_KEY, digestOf(s));
        s.signature = abi.encode(r, low, v);
        sendFails(s, badSignature(s.signer));
    }

    function test_contract_accounts_that_cannot_answer_say_no() public {
        expectWalletRefused(address(new WalletWithoutTheMethod()));
        expectWalletRefused(address(new WalletWithAFallback()));
        expectWalletRefused(address(new RevertingWallet()));
        expectWalletRefused(address(new WalletThatRevertsWithAYes()));
        expectWalletRefused(address(registry));
    }

    function test_only_the_exact_answer_is_a_yes() public {
        bytes32 magic = bytes32(bytes4(0x1626ba7e));
        expectWalletRefused(address(new AnsweringWallet(hex"1626ba7e")));
        expectWalletRefused(address(new AnsweringWallet(abi.encode(true))));
        expectWalletRefused(address(new AnsweringWallet(abi.encode(magic | bytes32(uint256(1))))));
        expectWalletRefused(address(new AnsweringWallet(abi.encode(uint256(0x1626ba7e)))));
        send(byWallet(address(new AnsweringWallet(abi.encode(magic)))));
        send(byWallet(address(new AnsweringWallet(abi.encode(magic, "and more")))));
    }

    function test_precompiled_contracts_are_no_wallets() public {
        for (uint160 account = 1; account <= 10; ++account) {
            expectWalletRefused(address(account));
        }
    }

    function test_a_contract_account_cannot_reenter() public {
        ReenteringWallet wallet = new ReenteringWallet(address(registry));
        Signed memory s = byWallet(address(wallet));
        wallet.prepare(publishCall(byWallet(address(wallet)).item));
        sendFails(s, badSignature(address(wallet)));
        vm.assertEq(headOf(address(wallet), PACKAGE).count, 0);
    }

    function test_an_account_that_delegates_to_code_still_signs_with_its_key() public {
        Signed memory s = signed(item("1", 0), OWNER_KEY);
        vm.etch(owner, hex"ef0100000000000000000000000000000000000000dead");
        send(s);
    }

    /// @dev A publish in the name of a wallet, with a signature that only an obliging wallet takes.
    function byWallet(address wallet) internal view returns (Signed memory) {
        Item memory i = item("1", 0);
        i.publisher = wallet;
        return Signed({item: i, signer: wallet, deadline: NOW, signature: new bytes(65)});
    }

    function expectWalletRefused(address wallet) internal {
        Signed memory s = byWallet(wallet);
        sendFails(s, badSignature(wallet));
        s.signature = "anything";
        sendFails(s, badSignature(wallet));
    }
}
