// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {Item, RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev The rules again, in the plainest way, as the oracle of the contract's.
contract NamesTest is RegistryTest {
    bytes internal constant PACKAGE_MARKS = "._-";
    bytes internal constant VERSION_MARKS = ".+~_-";

    function test_names_of_every_length_from_1_to_64_are_accepted_and_no_other() public {
        for (uint256 length = 0; length <= 130; ++length) {
            string memory name = repeated("a", length);
            expectPackage(name, length >= 1 && length <= 64);
            expectVersion(name, length >= 1 && length <= 64);
        }
    }

    function test_every_byte_at_every_place_is_judged_by_the_rule() public {
        for (uint256 value = 0; value < 256; ++value) {
            for (uint256 place = 0; place < 64; place += step(place)) {
                bytes memory name = bytes(repeated("a", 64));
                name[place] = bytes1(uint8(value));
                this.expectRule(name);
            }
        }
    }

    function test_every_byte_is_judged_at_the_end_of_names_of_every_length() public {
        for (uint256 value = 0; value < 256; value += 5) {
            for (uint256 length = 1; length <= 64; ++length) {
                bytes memory name = bytes(repeated("0", length));
                name[length - 1] = bytes1(uint8(value));
                this.expectRule(name);
            }
        }
    }

    function test_bytes_behind_the_end_of_a_name_are_no_part_of_it() public {
        // The padding of an ABI string can hold anything: nothing but the length says where the name ends.
        bytes memory call = publishCall(item("1.0.0", 0));
        uint256 padding = call.length - 1;
        vm.assertTrue(call[padding] == 0, "the last byte is padding of the version");
        call[padding] = 0xff;
        vm.prank(owner);
        (bool ok,) = address(registry).call(call);
        vm.assertTrue(ok, "published");
        vm.assertEq(releaseOf("1.0.0").sequence, 1);
    }

    function test_random_names_are_judged_by_the_rule(bytes32 a, bytes32 b, uint8 length) public {
        bytes memory name = bytes.concat(a, b);
        uint256 size = length % 65;
        for (uint256 i = 0; i < 64; ++i) {
            // Mostly characters that may occur, so that whole names often pass.
            if (uint8(name[i]) % 16 != 0) name[i] = bytes("abz059._-+~AZ")[uint8(name[i]) % 13];
        }
        assembly ("memory-safe") {
            mstore(name, size)
        }
        this.expectRule(name);
    }

    function test_a_delegate_is_set_for_a_package_that_can_exist_or_for_all() public {
        vm.expectRevert(nameInvalid("Tool"));
        vm.prank(owner);
        registry.setDelegate(owner, "Tool", other, FOREVER);
        vm.prank(owner);
        registry.setDelegate(owner, "", other, FOREVER);
    }

    /// @dev The word boundaries and their neighbours; the places between them behave as one.
    function step(uint256 place) internal pure returns (uint256) {
        return place == 2 || place == 34 ? 27 : 1;
    }

    /// @dev Called from outside, so that each name's memory is given back.
    function expectRule(bytes memory name) external {
        expectPackage(string(name), isPackage(name));
        expectVersion(string(name), isVersion(name));
    }

    function expectPackage(string memory name, bool valid) internal {
        Item memory i = item("1", 0);
        i.package = name;
        expectPublish(i, name, valid);
    }

    function expectVersion(string memory name, bool valid) internal {
        Item memory i = item(name, 0);
        i.package = string.concat("p", vm.toString(uint256(keccak256(bytes(name))) >> 64));
        expectPublish(i, name, valid);
    }

    function expectPublish(Item memory i, string memory name, bool valid) internal {
        i.expectedCount = headOf(owner, i.package).count;
        if (i.expectedCount != 0 && valid) return; // a name that was accepted before
        if (!valid) vm.expectRevert(nameInvalid(name));
        publish(owner, i);
    }

    function isPackage(bytes memory name) internal pure returns (bool) {
        if (name.length == 0 || name.length > 64 || !isLowerOrDigit(name[0])) return false;
        for (uint256 i = 1; i < name.length; ++i) {
            if (!isLowerOrDigit(name[i]) && !isIn(name[i], PACKAGE_MARKS)) return false;
        }
        return true;
    }

    function isVersion(bytes memory name) internal pure returns (bool) {
        if (name.length == 0 || name.length > 64 || !isAlphanumeric(name[0])) return false;
        for (uint256 i = 1; i < name.length; ++i) {
            if (!isAlphanumeric(name[i]) && !isIn(name[i], VERSION_MARKS)) return false;
        }
        return true;
    }

    function isLowerOrDigit(bytes1 c) internal pure returns (bool) {
        return (c >= "a" && c <= "z") || (c >= "0" && c <= "9");
    }

    function isAlphanumeric(bytes1 c) internal pure returns (bool) {
        return isLowerOrDigit(c) || (c >= "A" && c <= "Z");
    }

    function isIn(bytes1 c, bytes memory set) internal pure returns (bool) {
        for (uint256 i = 0; i < set.length; ++i) {
            if (set[i] == c) return true;
        }
        return false;
    }

    function repeated(bytes1 c, uint256 length) internal pure returns (string memory) {
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            text[i] = c;
        }
        return string(text);
    }
}
