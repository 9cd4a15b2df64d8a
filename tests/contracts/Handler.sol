// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Model} from "./Model.sol";
import {Item} from "./RegistryTest.sol";
import {Signing} from "./Signing.sol";
import {vm} from "./Vm.sol";

/// @dev Random callers. Each action makes up a call out of a seed, asks the model what has to come of it, makes it, and
/// compares; the model then remembers what was written.
contract Handler is Signing {
    uint256 internal constant ACTORS = 5;
    uint256 internal constant PUBLISHERS = 3;
    address public constant BYSTANDER = address(0xb75a);

    Model public immutable model;
    uint256 public attempts;
    uint256 public published;
    uint256 public refused;

    address[ACTORS] internal actors;
    string[2] internal packages = ["tool", "fourteen-chars"];
    uint256 internal seed;
    uint256 internal time = NOW;

    constructor(IContentRegistry registry_, Model model_) {
        registry = registry_;
        model = model_;
        // Found once, as it takes long.
        for (uint256 n = 0; n < ACTORS; ++n) {
            actors[n] = vm.addr(n + 1);
        }
    }

    function publishes(uint256 seed_) external start(seed_) {
        Item memory i = anyItem();
        address sender = mostlyController(i.publisher);
        settle(sender, publishCall(i), model.publishOutcome(sender, i), i, sender);
    }

    function publishesBySignature(uint256 seed_) external start(seed_) {
        Item memory i = anyItem();
        uint256 key = keyOf(mostlyController(i.publisher));
        Signed memory s = signed(i, key);
        bytes4 outcome = model.publishOutcome(s.signer, i);
        uint256 flaw = pick(8);
        if (flaw == 0) {
            s.deadline = block.timestamp - 1;
            outcome = IContentRegistry.SignatureExpired.selector;
        } else if (flaw <= 3) {
            if (flaw == 1) s.signature = sign(key, digestOf(s, separator(block.chainid + 1, address(registry))));
            if (flaw == 2) s.item.content = keccak256("another");
            if (flaw == 3) s.signer = actors[key % ACTORS];
            outcome = IContentRegistry.BadSignature.selector;
        }
        settle(anyActor(), sendCall(s), outcome, i, s.signer);
    }

    function publishesTwoAtOnce(uint256 seed_) external start(seed_) {
        Item memory a = anyItem();
        address sender = mostlyController(a.publisher);
        Item memory b = anyItem();
        b.publisher = a.publisher;
        b.package = a.package;
        b.expectedCount = a.expectedCount + 1;
        bytes[] memory calls = new bytes[](2);
        calls[0] = publishCall(a);
        calls[1] = publishCall(b);
        bytes4 outcome = model.publishOutcome(sender, a);
        if (outcome == 0) {
            b.expectedCount -= 1; // as the model still sees it
            outcome = model.publishOutcome(sender, b);
            b.expectedCount += 1;
            if (keccak256(bytes(a.version)) == keccak256(bytes(b.version))) outcome = bytes4(uint32(1));
        }
        if (outcome != 0) outcome = IContentRegistry.CallFailed.selector;
        settle(sender, abi.encodeCall(IContentRegistry.multicall, (calls)), outcome, a, sender);
        if (outcome == 0) model.published(b, sender);
    }

    function setsLatest(uint256 seed_) external start(seed_) {
        (address publisher, string memory package, string memory version) = anyRelease();
        address sender = mostlyController(publisher);
        bytes4 outcome = model.changeOutcome(sender, publisher, package, version);
        attempt(sender, abi.encodeCall(IContentRegistry.setLatest, (publisher, package, version)), outcome);
        if (outcome == 0) model.latestSet(publisher, package, version);
    }

    function revokes(uint256 seed_) external start(seed_) {
        if (pick(3) != 0) return; // not too often, or little is left
        (address publisher, string memory package, string memory version) = anyRelease();
        address sender = mostlyController(publisher);
        uint8 reason = uint8(1 + pick(255));
        bytes4 outcome = model.changeOutcome(sender, publisher, package, version);
        attempt(sender, abi.encodeCall(IContentRegistry.revoke, (publisher, package, version, reason, "")), outcome);
        if (outcome == 0) model.revoked(publisher, package, version, reason);
    }

    function endorses(uint256 seed_) external start(seed_) {
        uint8 kind = uint8(pick(5));
        bytes32 manifest = anyManifest();
        bytes4 outcome = manifest == 0
            ? IContentRegistry.ZeroManifest.selector
            : kind == 0 || kind == 4 ? IContentRegistry.KindInvalid.selector : bytes4(0);
        address sender = anyActor();
        attempt(sender, abi.encodeCall(IContentRegistry.endorse, (manifest, kind)), outcome);
        if (outcome == 0) model.endorsed(sender, manifest, kind);
    }

    function withdrawsAnEndorsement(uint256 seed_) external start(seed_) {
        address sender = anyActor();
        bytes32 manifest = anyManifest();
        bytes4 outcome = model.withdrawOutcome(sender, manifest);
        attempt(sender, abi.encodeCall(IContentRegistry.withdrawEndorsement, (manifest)), outcome);
        if (outcome == 0) model.endorsed(sender, manifest, 0);
    }

    function offersControl(uint256 seed_) external start(seed_) {
        address publisher = anyPublisher();
        address sender = mostlyController(publisher);
        address newController = pick(4) == 0 ? address(0) : anyActor();
        bytes4 outcome = model.controllerOutcome(sender, publisher);
        attempt(sender, abi.encodeCall(IContentRegistry.transferController, (publisher, newController)), outcome);
        if (outcome == 0) model.offered(publisher, newController);
    }

    function acceptsControl(uint256 seed_) external start(seed_) {
        address publisher = anyPublisher();
        address pending = model.pending(publisher);
        address sender = pick(4) == 0 || pending == address(0) ? anyActor() : pending;
        bytes4 outcome = sender == pending ? bytes4(0) : IContentRegistry.Unauthorized.selector;
        attempt(sender, abi.encodeCall(IContentRegistry.acceptController, (publisher)), outcome);
        if (outcome == 0) model.accepted(publisher);
    }

    function setsADelegate(uint256 seed_) external start(seed_) {
        address publisher = anyPublisher();
        address sender = mostlyController(publisher);
        string memory package = pick(3) == 0 ? "" : packages[pick(2)];
        address delegate = anyActor();
        uint40 expiry = pick(4) == 0 ? 0 : uint40(block.timestamp + pick(2000));
        bytes4 outcome = model.controllerOutcome(sender, publisher);
        if (outcome == 0 && expiry == block.timestamp) outcome = IContentRegistry.ExpiryPassed.selector;
        attempt(sender, abi.encodeCall(IContentRegistry.setDelegate, (publisher, package, delegate, expiry)), outcome);
        if (outcome == 0) model.delegateSet(publisher, package, delegate, expiry);
    }

    /// @dev Also moves the clock, which forge sets back between calls.
    modifier start(uint256 seed_) {
        seed = seed_;
        time += pick(100);
        vm.warp(time);
        _;
    }

    function settle(address sender, bytes memory call, bytes4 outcome, Item memory i, address by) internal {
        attempt(sender, call, outcome);
        if (outcome != 0) return;
        model.published(i, by);
        ++published;
    }

    /// @dev Makes the call and holds that it ends as it must: with this error, or with none.
    function attempt(address sender, bytes memory call, bytes4 outcome) internal {
        vm.prank(sender);
        (bool ok, bytes memory answer) = address(registry).call(call);
        vm.assertEq(bytes32(ok ? bytes4(0) : bytes4(answer)), bytes32(outcome), "another outcome than the model's");
        ++attempts;
        if (!ok) ++refused;
    }

    function pick(uint256 bound) internal returns (uint256) {
        seed = uint256(keccak256(abi.encode(seed)));
        return seed % bound;
    }

    function anyActor() internal returns (address) {
        return actors[pick(ACTORS)];
    }

    /// @dev The first actors' addresses, handed around between all of them, and a name that nobody here controls.
    function publisherAt(uint256 index) public view returns (address) {
        return index < PUBLISHERS ? actors[index] : BYSTANDER;
    }

    function actorAt(uint256 index) external view returns (address) {
        return actors[index];
    }

    function keyOf(address actor) internal view returns (uint256 key) {
        while (actors[key++] != actor) {}
    }

    function anyPublisher() internal returns (address) {
        return publisherAt(pick(PUBLISHERS + 1));
    }

    function mostlyController(address publisher) internal returns (address) {
        address controller = model.controllerOf(publisher);
        return pick(4) == 0 || controller == BYSTANDER ? anyActor() : controller;
    }

    function anyManifest() internal returns (bytes32) {
        uint256 n = pick(40);
        return n == 0 ? bytes32(0) : keccak256(abi.encode("manifest", n));
    }

    function anyRelease() internal returns (address, string memory, string memory) {
        return (anyPublisher(), packages[pick(2)], anyVersion());
    }

    /// @dev A letter, or now and then what is no version.
    function anyVersion() internal returns (string memory) {
        uint256 n = pick(21);
        return n == 20 ? "not a version" : string(bytes.concat(bytes1(uint8(0x61 + n))));
    }

    /// @dev Mostly with the right count, as little would be written otherwise.
    function anyItem() internal returns (Item memory i) {
        (i.publisher, i.package, i.version) = anyRelease();
        i.manifest = anyManifest();
        i.content = bytes32(pick(1000));
        i.expectedCount = pick(5) == 0 ? pick(9) : model.headOf(i.publisher, i.package).count;
        i.makeLatest = pick(2) == 0;
    }
}
