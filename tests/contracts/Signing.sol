// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item, RegistryHelp} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev EIP-712 by hand, so that the contract's hashing is compared with another one.
abstract contract Signing is RegistryHelp {
    struct Signed {
        Item item;
        address signer;
        uint256 deadline;
        bytes signature;
    }

    uint256 internal constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function separator(uint256 chain, address verifyingContract) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("ContentRegistry"),
                keccak256("1"),
                chain,
                verifyingContract
            )
        );
    }

    function message(Item memory i, address signer, uint256 deadline) internal pure returns (bytes32) {
        bytes32 kind = keccak256(
            "Publish(address publisher,string package,string version,bytes32 manifest,bytes32 content,uint256 expectedCount,bool makeLatest,address signer,uint256 deadline)"
        );
        bytes memory names = abi.encode(keccak256(bytes(i.package)), keccak256(bytes(i.version)));
        bytes memory rest = abi.encode(i.manifest, i.content, i.expectedCount, i.makeLatest, signer, deadline);
        return keccak256(bytes.concat(abi.encode(kind, i.publisher), names, rest));
    }

    function digestOf(Signed memory s, bytes32 domain) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"1901", domain, message(s.item, s.signer, s.deadline)));
    }

    function digestOf(Signed memory s) internal view returns (bytes32) {
        return digestOf(s, separator(block.chainid, address(registry)));
    }

    /// @dev A publish signed by the key of `signer`, good for an hour.
    function signed(Item memory i, uint256 key) internal view returns (Signed memory s) {
        s = Signed({item: i, signer: vm.addr(key), deadline: block.timestamp + 3600, signature: ""});
        s.signature = sign(key, digestOf(s));
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return bytes.concat(r, s, bytes1(v));
    }

    function sendCall(Signed memory s) internal pure returns (bytes memory) {
        Item memory i = s.item;
        return abi.encodeWithSelector(
            IContentRegistry.publishWithSignature.selector,
            i.publisher,
            i.package,
            i.version,
            i.manifest,
            i.content,
            i.expectedCount,
            i.makeLatest,
            s.signer,
            s.deadline,
            s.signature
        );
    }

    function send(Signed memory s) internal returns (uint256 sequence) {
        vm.prank(relayer);
        (bool ok, bytes memory answer) = address(registry).call(sendCall(s));
        if (ok) return abi.decode(answer, (uint256));
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    /// @dev With a limit, as a call that is not allowed to write burns nearly all the gas it is given.
    function sendFails(Signed memory s, bytes memory reason) internal {
        vm.prank(relayer);
        (bool ok, bytes memory answer) = address(registry).call{gas: 10_000_000}(sendCall(s));
        vm.assertFalse(ok, "the call succeeded");
        vm.assertEq(keccak256(answer), keccak256(reason), "another reason than expected");
    }
}
