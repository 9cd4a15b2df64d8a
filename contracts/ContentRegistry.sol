// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IContentRegistry} from "./IContentRegistry.sol";
import {Names} from "./Names.sol";
import {Signatures} from "./Signatures.sol";

/// @title Append-only registry of releases
/// @dev No constructor and no immutables: init code and runtime code are the same bytes on every chain.
contract ContentRegistry is IContentRegistry {
    // Storage layout. Verifiers derive slots from it, so it is as fixed as the ABI. Of each struct, the first field
    // has the lowest bits of the word. keccak256(pad32(key) ++ pad32(slot)) for each level of a mapping.
    //
    // slot  value
    //    0  publisher => controller 0..159, epoch 160..207
    //    1  publisher => pending controller
    //    2  package key => count 0..47, latest 48..95, updatedAt 96..135
    //    3  package key => sequence => manifest digest
    //    4  release key => sequence 0..47, publishedAt 48..87, revocation 88..95, by 96..255
    //    5  endorser => manifest digest => endorsedAt 0..39, kind 40..47
    //    6  delegate key => expiry 0..39

    /// @inheritdoc IContentRegistry
    mapping(address publisher => Publisher) public override publishers;
    /// @inheritdoc IContentRegistry
    mapping(address publisher => address) public override pendingControllers;
    /// @inheritdoc IContentRegistry
    mapping(bytes32 packageKey => Head) public override heads;
    /// @inheritdoc IContentRegistry
    mapping(bytes32 packageKey => mapping(uint256 sequence => bytes32)) public override manifests;
    /// @inheritdoc IContentRegistry
    mapping(bytes32 releaseKey => Release) public override releases;
    /// @inheritdoc IContentRegistry
    mapping(address endorser => mapping(bytes32 manifest => Endorsement)) public override endorsements;
    /// @inheritdoc IContentRegistry
    mapping(bytes32 delegateKey => uint40) public override delegates;

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant PUBLISH_TYPE = keccak256(
        "Publish(address publisher,string package,string version,bytes32 manifest,bytes32 content,"
        "uint256 expectedCount,bool makeLatest,address signer,uint256 deadline)"
    );
    bytes32 private constant DOMAIN_NAME = keccak256("ContentRegistry");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");

    uint8 private constant LAST_KIND = 3;

    // ---------------------------------------------------------------- publishing

    /// @inheritdoc IContentRegistry
    function publish(
        address publisher,
        string calldata package,
        string calldata version,
        bytes32 manifest,
        bytes32 content,
        uint256 expectedCount,
        bool makeLatest
    ) external override returns (uint256 sequence) {
        return _publish(msg.sender, publisher, package, version, manifest, content, expectedCount, makeLatest);
    }

    /// @inheritdoc IContentRegistry
    function publishWithSignature(
        address publisher,
        string calldata package,
        string calldata version,
        bytes32 manifest,
        bytes32 content,
        uint256 expectedCount,
        bool makeLatest,
        address signer,
        uint256 deadline,
        bytes calldata signature
    ) external override returns (uint256 sequence) {
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        bytes32 message = keccak256(
            abi.encode(
                PUBLISH_TYPE,
                publisher,
                keccak256(bytes(package)),
                keccak256(bytes(version)),
                manifest,
                content,
                expectedCount,
                makeLatest,
                signer,
                deadline
            )
        );
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", domainSeparator(), message));
        if (!Signatures.isValid(signer, digest, signature)) revert BadSignature(signer);
        return _publish(signer, publisher, package, version, manifest, content, expectedCount, makeLatest);
    }

    /// @dev `by` is who answers for the release: the sender, or the signer whose signature was checked.
    function _publish(
        address by,
        address publisher,
        string calldata package,
        string calldata version,
        bytes32 manifest,
        bytes32 content,
        uint256 expectedCount,
        bool makeLatest
    ) private returns (uint256 sequence) {
        bytes32 key = packageKey(publisher, package);
        if (!_mayPublish(publisher, key, by)) revert Unauthorized(publisher, by);
        if (!Names.isPackage(package)) revert NameInvalid(package);
        if (!Names.isVersion(version)) revert NameInvalid(version);
        if (manifest == 0) revert ZeroManifest();

        // Before the count, so that a publisher who repeats a lost call learns that it was recorded.
        Release storage release = releases[_releaseKey(key, version)];
        sequence = release.sequence;
        if (sequence != 0) revert ReleaseExists(sequence, manifests[key][sequence]);
        Head storage head = heads[key];
        uint48 count = head.count;
        if (count != expectedCount) revert SequenceConflict(expectedCount, count);

        count += 1;
        _writeHead(head, count, makeLatest ? count : head.latest);
        sequence = count;
        manifests[key][sequence] = manifest;
        // Every field, as that makes one store of them.
        release.sequence = count;
        release.publishedAt = uint40(block.timestamp);
        release.revocation = 0;
        release.by = by;
        emit Released(publisher, key, content, package, version, manifest, sequence, by, makeLatest);
    }

    /// @inheritdoc IContentRegistry
    function setLatest(address publisher, string calldata package, string calldata version) external override {
        _requireController(publisher);
        bytes32 key = packageKey(publisher, package);
        Release storage release = _unrevoked(key, version);
        Head storage head = heads[key];
        _writeHead(head, head.count, release.sequence);
        emit LatestChanged(publisher, key, package, version, release.sequence);
    }

    /// @inheritdoc IContentRegistry
    function revoke(
        address publisher,
        string calldata package,
        string calldata version,
        uint8 reason,
        string calldata text
    ) external override {
        _requireController(publisher);
        if (reason == 0) revert ReasonInvalid(reason);
        bytes32 key = packageKey(publisher, package);
        Release storage release = _unrevoked(key, version);
        release.revocation = reason;
        Head storage head = heads[key];
        _writeHead(head, head.count, head.latest);
        emit Revoked(publisher, key, package, version, release.sequence, reason, text);
    }

    // ---------------------------------------------------------------- endorsing

    /// @inheritdoc IContentRegistry
    function endorse(bytes32 manifest, uint8 kind) external override {
        if (manifest == 0) revert ZeroManifest();
        if (kind == 0 || kind > LAST_KIND) revert KindInvalid(kind);
        endorsements[msg.sender][manifest] = Endorsement({endorsedAt: uint40(block.timestamp), kind: kind});
        emit Endorsed(msg.sender, manifest, kind);
    }

    /// @inheritdoc IContentRegistry
    function withdrawEndorsement(bytes32 manifest) external override {
        if (endorsements[msg.sender][manifest].kind == 0) revert NotEndorsed(msg.sender, manifest);
        delete endorsements[msg.sender][manifest];
        emit EndorsementWithdrawn(msg.sender, manifest);
    }

    // ---------------------------------------------------------------- acting for a publisher

    /// @inheritdoc IContentRegistry
    function transferController(address publisher, address newController) external override {
        _requireController(publisher);
        pendingControllers[publisher] = newController;
        emit ControllerTransferStarted(publisher, msg.sender, newController);
    }

    /// @inheritdoc IContentRegistry
    function acceptController(address publisher) external override {
        address pending = pendingControllers[publisher];
        if (pending == address(0) || msg.sender != pending) revert Unauthorized(publisher, msg.sender);
        address previous = controllerOf(publisher);
        uint48 epoch = publishers[publisher].epoch + 1;
        delete pendingControllers[publisher];
        publishers[publisher] = Publisher({controller: msg.sender, epoch: epoch});
        emit ControllerTransferred(publisher, previous, msg.sender, epoch);
    }

    /// @inheritdoc IContentRegistry
    function setDelegate(address publisher, string calldata package, address delegate, uint40 expiry)
        external
        override
    {
        _requireController(publisher);
        if (bytes(package).length != 0 && !Names.isPackage(package)) revert NameInvalid(package);
        if (expiry != 0 && expiry <= block.timestamp) revert ExpiryPassed(expiry);
        delegates[delegateKey(publisher, package, delegate)] = expiry;
        emit DelegateSet(publisher, delegate, package, publishers[publisher].epoch, expiry);
    }

    // ---------------------------------------------------------------- batching

    /// @inheritdoc IContentRegistry
    function multicall(bytes[] calldata calls) external override {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok, bytes memory reason) = address(this).delegatecall(calls[i]);
            if (!ok) revert CallFailed(i, reason);
        }
    }

    // ---------------------------------------------------------------- keys

    /// @inheritdoc IContentRegistry
    function packageKey(address publisher, string calldata package) public pure override returns (bytes32) {
        return keccak256(abi.encode(publisher, package));
    }

    /// @inheritdoc IContentRegistry
    function releaseKey(address publisher, string calldata package, string calldata version)
        external
        pure
        override
        returns (bytes32)
    {
        return _releaseKey(packageKey(publisher, package), version);
    }

    /// @inheritdoc IContentRegistry
    function delegateKey(address publisher, string calldata package, address delegate)
        public
        view
        override
        returns (bytes32)
    {
        bytes32 scope = bytes(package).length == 0 ? bytes32(0) : packageKey(publisher, package);
        return _delegateKey(publisher, publishers[publisher].epoch, scope, delegate);
    }

    /// @inheritdoc IContentRegistry
    function domainSeparator() public view override returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(this)));
    }

    // ---------------------------------------------------------------- reading

    /// @inheritdoc IContentRegistry
    function resolve(address publisher, string calldata package, string calldata version)
        external
        view
        override
        returns (Head memory head, Release memory release, bytes32 manifest)
    {
        bytes32 key = packageKey(publisher, package);
        head = heads[key];
        release = releases[_releaseKey(key, version)];
        manifest = manifests[key][release.sequence];
    }

    /// @inheritdoc IContentRegistry
    function resolveLatest(address publisher, string calldata package)
        external
        view
        override
        returns (Head memory head, bytes32 manifest)
    {
        bytes32 key = packageKey(publisher, package);
        head = heads[key];
        manifest = manifests[key][head.latest];
    }

    /// @inheritdoc IContentRegistry
    function history(address publisher, string calldata package, uint256 from, uint256 max)
        external
        view
        override
        returns (bytes32[] memory digests)
    {
        bytes32 key = packageKey(publisher, package);
        uint256 count = heads[key].count;
        if (from == 0) from = 1;
        uint256 available = from > count ? 0 : count - from + 1;
        digests = new bytes32[](max < available ? max : available);
        for (uint256 i = 0; i < digests.length; ++i) {
            digests[i] = manifests[key][from + i];
        }
    }

    /// @inheritdoc IContentRegistry
    function controllerOf(address publisher) public view override returns (address) {
        address controller = publishers[publisher].controller;
        return controller == address(0) ? publisher : controller;
    }

    /// @inheritdoc IContentRegistry
    function isAuthorized(address publisher, string calldata package, address account)
        external
        view
        override
        returns (bool)
    {
        return _mayPublish(publisher, packageKey(publisher, package), account);
    }

    // ---------------------------------------------------------------- internals

    /// @dev The only way to change a head, so that `updatedAt` tells of every change. Writing all fields also makes
    /// one store of them.
    function _writeHead(Head storage head, uint48 count, uint48 latest) private {
        head.count = count;
        head.latest = latest;
        head.updatedAt = uint40(block.timestamp);
    }

    function _requireController(address publisher) private view {
        if (msg.sender != controllerOf(publisher)) revert Unauthorized(publisher, msg.sender);
    }

    function _mayPublish(address publisher, bytes32 key, address account) private view returns (bool) {
        if (account == controllerOf(publisher)) return true;
        uint48 epoch = publishers[publisher].epoch;
        return delegates[_delegateKey(publisher, epoch, key, account)] > block.timestamp
            || delegates[_delegateKey(publisher, epoch, 0, account)] > block.timestamp;
    }

    function _unrevoked(bytes32 key, string calldata version) private view returns (Release storage release) {
        bytes32 id = _releaseKey(key, version);
        release = releases[id];
        if (release.sequence == 0) revert ReleaseUnknown(id);
        if (release.revocation != 0) revert AlreadyRevoked(release.revocation);
    }

    function _releaseKey(bytes32 key, string calldata version) private pure returns (bytes32) {
        return keccak256(abi.encode(key, version));
    }

    function _delegateKey(address publisher, uint48 epoch, bytes32 key, address delegate)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(publisher, epoch, key, delegate));
    }
}
