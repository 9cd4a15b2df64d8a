// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Character rules of package names and versions
/// @dev Tests 32 characters at once, at less than half the gas of a loop. A word is 32 lanes of one character each; of
/// a set, only the top bit of each lane counts and says whether that lane's character is a member. A range is the
/// exclusive or of its two bounds, `_from(word, 0x30) ^ _from(word, 0x3a)` for the digits 0x30 to 0x39, and so is a
/// union of ranges that do not overlap.
library Names {
    uint256 private constant MAX_LENGTH = 64;

    /// @dev The lowest bit and the top bit of each lane.
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant TOPS = ONES * 0x80;

    /// @notice Whether `name` is `[a-z0-9][a-z0-9._-]{0,63}`.
    function isPackage(string calldata name) internal pure returns (bool) {
        uint256 length = bytes(name).length;
        if (length > MAX_LENGTH) return false;
        uint256 word = uint256(bytes32(bytes(name)));
        uint256 first = _lowerOrDigit(word);
        if (!_startsIn(first) || !_consistsOf(word, length, first ^ _packageMark(word))) return false;
        if (length <= 32) return true;
        word = uint256(bytes32(bytes(name)[32:]));
        return _consistsOf(word, length - 32, _lowerOrDigit(word) ^ _packageMark(word));
    }

    /// @notice Whether `name` is `[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}`.
    function isVersion(string calldata name) internal pure returns (bool) {
        uint256 length = bytes(name).length;
        if (length > MAX_LENGTH) return false;
        uint256 word = uint256(bytes32(bytes(name)));
        uint256 first = _lowerOrDigit(word) ^ _upper(word);
        if (!_startsIn(first) || !_consistsOf(word, length, first ^ _versionMark(word))) return false;
        if (length <= 32) return true;
        word = uint256(bytes32(bytes(name)[32:]));
        return _consistsOf(word, length - 32, _lowerOrDigit(word) ^ _upper(word) ^ _versionMark(word));
    }

    /// @dev Whether the first lane's character is in `set`; that of an empty name is zero, which is in none.
    function _startsIn(uint256 set) private pure returns (bool) {
        return set >> 255 == 1;
    }

    /// @dev Whether the characters of the first `length` lanes, all of them if it is more than 32, are ASCII and in
    /// `set`.
    function _consistsOf(uint256 word, uint256 length, uint256 set) private pure returns (bool) {
        uint256 unused = type(uint256).max >> (8 * length);
        return (word | ~set) & TOPS & ~unused == 0;
    }

    function _lowerOrDigit(uint256 word) private pure returns (uint256) {
        return _from(word, 0x61) ^ _from(word, 0x7b) ^ _from(word, 0x30) ^ _from(word, 0x3a);
    }

    function _upper(uint256 word) private pure returns (uint256) {
        return _from(word, 0x41) ^ _from(word, 0x5b);
    }

    /// @dev Dash and dot, underscore.
    function _packageMark(uint256 word) private pure returns (uint256) {
        return _from(word, 0x2d) ^ _from(word, 0x2f) ^ _from(word, 0x5f) ^ _from(word, 0x60);
    }

    /// @dev Plus and tilde besides.
    function _versionMark(uint256 word) private pure returns (uint256) {
        return _packageMark(word) ^ _from(word, 0x2b) ^ _from(word, 0x2c) ^ _from(word, 0x7e) ^ _from(word, 0x7f);
    }

    /// @dev The characters that are not below `bound`: adding what it lacks to 0x80 sets the lane's top bit. Only a
    /// byte that is not ASCII can carry into the next lane, and `_consistsOf` refuses it whatever the lanes say.
    function _from(uint256 word, uint256 bound) private pure returns (uint256) {
        unchecked {
            return word + ONES * (0x80 - bound);
        }
    }
}
