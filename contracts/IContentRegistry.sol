// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.4;

/// @title Append-only registry of releases, each named by its publisher and held as a manifest digest
/// @notice Whoever controls a publisher address can record releases under it, and nobody else can. A recorded
/// release never changes; it can be revoked, once and for ever. There is no owner, upgrade, pause or fee, and
/// no ether is accepted.
/// @dev Readers derive storage slots from the layout written down in `ContentRegistry` and check them with state
/// proofs. Events help to find releases; only storage is evidence.
interface IContentRegistry {
    // ---------------------------------------------------------------- records

    /// @notice Who acts for a publisher. The publisher address itself is only a name and stays for ever.
    /// @param controller the account in charge; zero means the publisher address itself
    /// @param epoch number of completed controller transfers; delegates of an earlier epoch have no rights
    struct Publisher {
        address controller;
        uint48 epoch;
    }

    /// @notice The newest state of a package.
    /// @param count number of releases, which is also the highest sequence
    /// @param latest sequence of the release that readers get when they name no version; zero means none
    /// @param updatedAt block time of the last publish, change of the latest release, or revocation
    struct Head {
        uint48 count;
        uint48 latest;
        uint40 updatedAt;
    }

    /// @notice One version of a package. All but `revocation` is written once.
    /// @param sequence position in the package's history, from 1; zero means that there is no such release
    /// @param publishedAt block time of the publish
    /// @param revocation reason code; zero means not revoked
    /// @param by the controller or delegate that published, or signed for it
    struct Release {
        uint48 sequence;
        uint40 publishedAt;
        uint8 revocation;
        address by;
    }

    /// @notice What an account says about a manifest.
    /// @param endorsedAt block time of the endorsement
    /// @param kind 1 rebuilt from source, 2 audited, 3 scanned; zero means not endorsed
    struct Endorsement {
        uint40 endorsedAt;
        uint8 kind;
    }

    // ---------------------------------------------------------------- errors

    /// @notice `account` may not do this in the name of `publisher`.
    error Unauthorized(address publisher, address account);
    /// @notice A package is `[a-z0-9][a-z0-9._-]{0,63}` and a version `[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}`.
    error NameInvalid(string name);
    /// @notice A manifest digest of zero would read as "no manifest".
    error ZeroManifest();
    /// @notice This version was recorded before, as `sequence` with `manifest`; it never changes.
    error ReleaseExists(uint256 sequence, bytes32 manifest);
    /// @notice The package holds `actual` releases where the caller expected `expected`.
    error SequenceConflict(uint256 expected, uint256 actual);
    /// @notice No release was recorded under this key.
    error ReleaseUnknown(bytes32 releaseKey);
    /// @notice The release was revoked, for `reason`; that is final.
    error AlreadyRevoked(uint8 reason);
    /// @notice A reason code of zero would read as "not revoked".
    error ReasonInvalid(uint8 reason);
    /// @notice An endorsement's kind is 1, 2 or 3.
    error KindInvalid(uint8 kind);
    /// @notice `endorser` has no endorsement of `manifest` to withdraw.
    error NotEndorsed(address endorser, bytes32 manifest);
    /// @notice A delegate's expiry is in the future, or zero to remove the delegate.
    error ExpiryPassed(uint40 expiry);
    /// @notice The signature was good until `deadline`.
    error SignatureExpired(uint256 deadline);
    /// @notice The signature is not one of `signer` over these arguments, on this chain, for this contract.
    error BadSignature(address signer);
    /// @notice The call at `index` of a multicall reverted with `reason`, so none of them took effect.
    error CallFailed(uint256 index, bytes reason);

    // ---------------------------------------------------------------- events

    /// @notice A release was recorded.
    /// @param publisher in whose name
    /// @param packageKey key of the package
    /// @param content digest of the content root's block, to find releases by what they hold; never checked here
    /// @param package name of the package
    /// @param version the version, never to be recorded again
    /// @param manifest digest of the manifest
    /// @param sequence position in the package's history
    /// @param by the controller or delegate that published, or signed for it
    /// @param latest whether it became the latest release
    event Released(
        address indexed publisher,
        bytes32 indexed packageKey,
        bytes32 indexed content,
        string package,
        string version,
        bytes32 manifest,
        uint256 sequence,
        address by,
        bool latest
    );

    /// @notice The package's latest release was set to one recorded earlier.
    event LatestChanged(
        address indexed publisher, bytes32 indexed packageKey, string package, string version, uint256 sequence
    );

    /// @notice A release was revoked. `text` is the publisher's own explanation and is kept nowhere else.
    event Revoked(
        address indexed publisher,
        bytes32 indexed packageKey,
        string package,
        string version,
        uint256 sequence,
        uint8 reason,
        string text
    );

    /// @notice `endorser` endorsed `manifest`.
    event Endorsed(address indexed endorser, bytes32 indexed manifest, uint8 kind);

    /// @notice `endorser` withdrew its endorsement of `manifest`.
    event EndorsementWithdrawn(address indexed endorser, bytes32 indexed manifest);

    /// @notice `controller` offered its place to `pending`; zero means that an offer was withdrawn.
    event ControllerTransferStarted(address indexed publisher, address indexed controller, address indexed pending);

    /// @notice `controller` took over from `previous`, which ended the rights of all delegates.
    event ControllerTransferred(
        address indexed publisher, address indexed previous, address indexed controller, uint256 epoch
    );

    /// @notice A delegate got, kept or lost the right to publish.
    /// @param publisher in whose name
    /// @param delegate who
    /// @param package the one package, or empty for all
    /// @param epoch the epoch in which it holds
    /// @param expiry first second in which the right is gone; zero means removed
    event DelegateSet(
        address indexed publisher, address indexed delegate, string package, uint256 epoch, uint40 expiry
    );

    // ---------------------------------------------------------------- publishing

    /// @notice Records a release. For the publisher's controller and its delegates.
    /// @param publisher in whose name
    /// @param package name of the package
    /// @param version a version not recorded before
    /// @param manifest digest of the manifest, not zero
    /// @param content digest of the content root's block; goes into the event only
    /// @param expectedCount how many releases the package has so far, so that two publishers cannot cross
    /// @param makeLatest whether readers who name no version get this release from now on
    /// @return sequence position of the new release, `expectedCount + 1`
    function publish(
        address publisher,
        string calldata package,
        string calldata version,
        bytes32 manifest,
        bytes32 content,
        uint256 expectedCount,
        bool makeLatest
    ) external returns (uint256 sequence);

    /// @notice Records a release that somebody else signed: anyone can send it and pay for it.
    /// @dev EIP-712, domain `ContentRegistry` version `1`, type `Publish(address publisher,string package,string
    /// version,bytes32 manifest,bytes32 content,uint256 expectedCount,bool makeLatest,address signer,uint256
    /// deadline)`. Whether the signer has the right to publish is asked now, not when it signed. In a
    /// multicall, one such item that somebody else sent first fails the whole batch.
    /// @param publisher in whose name
    /// @param package name of the package
    /// @param version a version not recorded before
    /// @param manifest digest of the manifest, not zero
    /// @param content digest of the content root's block; goes into the event only
    /// @param expectedCount how many releases the package has so far; a count comes once, so a signature is used once
    /// @param makeLatest whether readers who name no version get this release from now on
    /// @param signer the controller or delegate that signed
    /// @param deadline last second in which the signature is good
    /// @param signature 65 bytes r, s, v with a low s, or whatever the signer's ERC-1271 contract accepts
    /// @return sequence position of the new release, `expectedCount + 1`
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
    ) external returns (uint256 sequence);

    /// @notice Makes a recorded release the one that readers get when they name no version. For the controller.
    /// Refused for a revoked release.
    function setLatest(address publisher, string calldata package, string calldata version) external;

    /// @notice Revokes a release for ever. For the controller. If it is the latest it stays the latest, so that
    /// readers are told of the revocation instead of getting an older release.
    /// @param publisher in whose name
    /// @param package name of the package
    /// @param version a recorded version
    /// @param reason reason code, from 1
    /// @param text explanation for people; goes into the event only
    function revoke(
        address publisher,
        string calldata package,
        string calldata version,
        uint8 reason,
        string calldata text
    ) external;

    // ---------------------------------------------------------------- endorsing

    /// @notice Records that the caller endorses a manifest, in place of what it said of that manifest before.
    /// @param manifest digest of the manifest, not zero
    /// @param kind 1 rebuilt from source, 2 audited, 3 scanned
    function endorse(bytes32 manifest, uint8 kind) external;

    /// @notice Takes back the caller's endorsement of a manifest.
    function withdrawEndorsement(bytes32 manifest) external;

    // ---------------------------------------------------------------- acting for a publisher

    /// @notice Offers control of a publisher to another account, which has to accept; until then nothing changes.
    /// For the controller. A later offer replaces an earlier one.
    /// @param publisher which publisher
    /// @param newController who may accept; zero withdraws the offer
    function transferController(address publisher, address newController) external;

    /// @notice Takes over a publisher that was offered to the caller, and ends the rights of all its delegates.
    function acceptController(address publisher) external;

    /// @notice Gives an account the right to publish, and no other, or takes it away. For the controller.
    /// @param publisher in whose name
    /// @param package the one package, or empty for all; the two are separate rights
    /// @param delegate who gets the right
    /// @param expiry first second in which the right is gone; zero takes it away now
    function setDelegate(address publisher, string calldata package, address delegate, uint40 expiry) external;

    // ---------------------------------------------------------------- batching

    /// @notice Makes several calls to this contract as one: all of them take effect or none does.
    /// @dev What they return is dropped: that saves 588 gas a call, and a release's sequence is known beforehand.
    /// @param calls encoded calls
    function multicall(bytes[] calldata calls) external;

    // ---------------------------------------------------------------- keys

    /// @notice Key of a package: `keccak256(abi.encode(publisher, package))`.
    function packageKey(address publisher, string calldata package) external pure returns (bytes32);

    /// @notice Key of a release: `keccak256(abi.encode(packageKey, version))`.
    function releaseKey(address publisher, string calldata package, string calldata version)
        external
        pure
        returns (bytes32);

    /// @notice Key of a delegate's right in the present epoch:
    /// `keccak256(abi.encode(publisher, epoch, packageKey, delegate))`, with a package key of zero for all packages.
    function delegateKey(address publisher, string calldata package, address delegate) external view returns (bytes32);

    /// @notice The EIP-712 domain separator, computed for the chain that the contract finds itself on.
    function domainSeparator() external view returns (bytes32);

    // ---------------------------------------------------------------- reading

    /// @notice All there is about one version of a package; zeros where there is nothing.
    function resolve(address publisher, string calldata package, string calldata version)
        external
        view
        returns (Head memory head, Release memory release, bytes32 manifest);

    /// @notice A package's head and the manifest digest of its latest release; zeros where there is nothing.
    /// @dev Whether that release is revoked stands under its version, which the manifest names.
    function resolveLatest(address publisher, string calldata package)
        external
        view
        returns (Head memory head, bytes32 manifest);

    /// @notice Manifest digests in the order in which they were recorded.
    /// @param publisher in whose name
    /// @param package name of the package
    /// @param from first sequence wanted; zero is taken for 1
    /// @param max how many at most
    function history(address publisher, string calldata package, uint256 from, uint256 max)
        external
        view
        returns (bytes32[] memory digests);

    /// @notice The account in charge of a publisher.
    function controllerOf(address publisher) external view returns (address);

    /// @notice Whether an account may publish releases of this package at this moment.
    function isAuthorized(address publisher, string calldata package, address account) external view returns (bool);

    // ---------------------------------------------------------------- raw storage, by slot

    /// @notice Slot 0: {Publisher} by publisher address, as stored.
    function publishers(address publisher) external view returns (address controller, uint48 epoch);

    /// @notice Slot 1: the account that may accept control of a publisher; zero means none.
    function pendingControllers(address publisher) external view returns (address);

    /// @notice Slot 2: {Head} by package key.
    function heads(bytes32 key) external view returns (uint48 count, uint48 latest, uint40 updatedAt);

    /// @notice Slot 3: manifest digest by package key and sequence.
    function manifests(bytes32 key, uint256 sequence) external view returns (bytes32);

    /// @notice Slot 4: {Release} by release key.
    function releases(bytes32 key)
        external
        view
        returns (uint48 sequence, uint40 publishedAt, uint8 revocation, address by);

    /// @notice Slot 5: {Endorsement} by endorser and manifest digest.
    function endorsements(address endorser, bytes32 manifest) external view returns (uint40 endorsedAt, uint8 kind);

    /// @notice Slot 6: expiry by delegate key; zero means no right.
    function delegates(bytes32 key) external view returns (uint40 expiry);
}
