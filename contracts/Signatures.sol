// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The one function of ERC-1271.
interface IERC1271 {
    /// @notice Returns this function's selector if `signature` is a good one over `hash`.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4);
}

/// @title Checks of signatures by plain keys and by contract accounts
library Signatures {
    /// @dev Half of secp256k1's order. Of the two values of s that both sign, only the lower one is accepted.
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice Whether `signature` over `digest` is one of `signer`, by its own key or by its ERC-1271 contract.
    /// @dev The key comes first: no contract has one, and an account that delegates to code (EIP-7702) keeps its own.
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        return _isByKey(signer, digest, signature) || _isByContract(signer, digest, signature);
    }

    /// @dev `ecrecover` answers zero where it fails, so the zero address never is a signer.
    function _isByKey(address signer, bytes32 digest, bytes calldata signature) private pure returns (bool) {
        if (signature.length != 65 || signer == address(0)) return false;
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > MAX_S) return false;
        return ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), s) == signer;
    }

    /// @dev A low-level call, because a contract without the method, or an account without code, would revert
    /// here instead of answering no.
    function _isByContract(address signer, bytes32 digest, bytes calldata signature) private view returns (bool) {
        (bool ok, bytes memory answer) =
            signer.staticcall(abi.encodeCall(IERC1271.isValidSignature, (digest, signature)));
        return ok && answer.length >= 32 && bytes32(answer) == bytes32(IERC1271.isValidSignature.selector);
    }
}
