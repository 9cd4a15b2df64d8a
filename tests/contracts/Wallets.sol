// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

/// @dev Contract accounts that answer ERC-1271 in good and in bad ways.
contract KeyWallet {
    bytes4 internal constant MAGIC = 0x1626ba7e;
    address internal immutable key;

    constructor(address key_) {
        key = key_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = abi.decode(signature, (bytes32, bytes32, uint8));
        return ecrecover(digest, v, r, s) == key ? MAGIC : bytes4(0);
    }
}

contract WalletWithoutTheMethod {}

contract WalletWithAFallback {
    fallback() external {}
}

contract RevertingWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        revert("no");
    }
}

/// @dev Fails with what would be the right answer.
contract WalletThatRevertsWithAYes {
    fallback() external {
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            revert(0, 32)
        }
    }
}

/// @dev Answers with whatever bytes it was made with.
contract AnsweringWallet {
    bytes internal answer;

    constructor(bytes memory answer_) {
        answer = answer_;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return answer;
    }
}

/// @dev Tries to publish once more while it is asked.
contract ReenteringWallet {
    address internal immutable registry;
    bytes internal call;

    constructor(address registry_) {
        registry = registry_;
    }

    function prepare(bytes calldata call_) external {
        call = call_;
    }

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        (bool ok,) = registry.call(call);
        require(ok, "refused");
        return 0x1626ba7e;
    }
}
