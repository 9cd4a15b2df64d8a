// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Item} from "./RegistryTest.sol";

/// @dev What the registry has to do, said a second time and in the plainest way.
contract Model {
    struct Record {
        address publisher;
        string package;
        string version;
        bytes32 manifest;
        IContentRegistry.Release release;
    }

    Record[] internal records;
    mapping(bytes32 => uint256) internal recordNumbers; // from 1
    mapping(bytes32 => IContentRegistry.Head) internal heads;
    mapping(address => address) internal controllers;
    mapping(address => uint256) public epochs;
    mapping(address => address) public pending;
    mapping(bytes32 => uint256) internal expiries;
    mapping(bytes32 => IContentRegistry.Endorsement) internal endorsements;

    // What has to come of a call: the selector of an error, or zero for success.

    function publishOutcome(address by, Item calldata i) external view returns (bytes4) {
        if (!mayPublish(by, i.publisher, i.package)) return IContentRegistry.Unauthorized.selector;
        if (bytes(i.version).length != 1) return IContentRegistry.NameInvalid.selector;
        if (i.manifest == 0) return IContentRegistry.ZeroManifest.selector;
        if (recordNumbers[keyOf(i.publisher, i.package, i.version)] != 0) {
            return IContentRegistry.ReleaseExists.selector;
        }
        if (i.expectedCount != headOf(i.publisher, i.package).count) return IContentRegistry.SequenceConflict.selector;
        return 0;
    }

    function controllerOutcome(address sender, address publisher) public view returns (bytes4) {
        return sender == controllerOf(publisher) ? bytes4(0) : IContentRegistry.Unauthorized.selector;
    }

    /// @dev Of setting the latest release and of revoking.
    function changeOutcome(address sender, address publisher, string calldata package, string calldata version)
        external
        view
        returns (bytes4)
    {
        if (sender != controllerOf(publisher)) return IContentRegistry.Unauthorized.selector;
        uint256 number = recordNumbers[keyOf(publisher, package, version)];
        if (number == 0) return IContentRegistry.ReleaseUnknown.selector;
        return records[number - 1].release.revocation == 0 ? bytes4(0) : IContentRegistry.AlreadyRevoked.selector;
    }

    function withdrawOutcome(address endorser, bytes32 manifest) external view returns (bytes4) {
        bool endorsed_ = endorsements[keccak256(abi.encode(endorser, manifest))].kind != 0;
        return endorsed_ ? bytes4(0) : IContentRegistry.NotEndorsed.selector;
    }

    // What was done.

    function published(Item calldata i, address by) external {
        IContentRegistry.Head storage head = heads[keyOf(i.publisher, i.package, "")];
        head.count += 1;
        if (i.makeLatest) head.latest = head.count;
        head.updatedAt = uint40(block.timestamp);
        IContentRegistry.Release memory release = IContentRegistry.Release(head.count, uint40(block.timestamp), 0, by);
        records.push(Record(i.publisher, i.package, i.version, i.manifest, release));
        recordNumbers[keyOf(i.publisher, i.package, i.version)] = records.length;
    }

    function latestSet(address publisher, string calldata package, string calldata version) external {
        IContentRegistry.Head storage head = heads[keyOf(publisher, package, "")];
        head.latest = records[recordNumbers[keyOf(publisher, package, version)] - 1].release.sequence;
        head.updatedAt = uint40(block.timestamp);
    }

    function revoked(address publisher, string calldata package, string calldata version, uint8 reason) external {
        heads[keyOf(publisher, package, "")].updatedAt = uint40(block.timestamp);
        records[recordNumbers[keyOf(publisher, package, version)] - 1].release.revocation = reason;
    }

    function endorsed(address endorser, bytes32 manifest, uint8 kind) external {
        uint40 endorsedAt = kind == 0 ? 0 : uint40(block.timestamp);
        endorsements[keccak256(abi.encode(endorser, manifest))] = IContentRegistry.Endorsement(endorsedAt, kind);
    }

    function offered(address publisher, address newController) external {
        pending[publisher] = newController;
    }

    function accepted(address publisher) external {
        controllers[publisher] = pending[publisher];
        pending[publisher] = address(0);
        epochs[publisher] += 1;
    }

    function delegateSet(address publisher, string calldata package, address delegate, uint40 expiry) external {
        expiries[keccak256(abi.encode(publisher, epochs[publisher], package, delegate))] = expiry;
    }

    // What is so now.

    function recordCount() external view returns (uint256) {
        return records.length;
    }

    function recordAt(uint256 index) external view returns (Record memory) {
        return records[index];
    }

    function headOf(address publisher, string memory package) public view returns (IContentRegistry.Head memory) {
        return heads[keyOf(publisher, package, "")];
    }

    function endorsementOf(address endorser, bytes32 manifest)
        external
        view
        returns (IContentRegistry.Endorsement memory)
    {
        return endorsements[keccak256(abi.encode(endorser, manifest))];
    }

    function controllerOf(address publisher) public view returns (address) {
        return epochs[publisher] == 0 ? publisher : controllers[publisher];
    }

    function mayPublish(address account, address publisher, string memory package) public view returns (bool) {
        return account == controllerOf(publisher) || holds(account, publisher, package) || holds(account, publisher, "");
    }

    function holds(address delegate, address publisher, string memory package) internal view returns (bool) {
        return expiries[keccak256(abi.encode(publisher, epochs[publisher], package, delegate))] > block.timestamp;
    }

    function keyOf(address publisher, string memory package, string memory version) internal pure returns (bytes32) {
        return keccak256(abi.encode(publisher, package, version));
    }
}
