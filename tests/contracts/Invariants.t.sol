// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.21;

import {IContentRegistry} from "../../contracts/IContentRegistry.sol";
import {Handler} from "./Handler.sol";
import {Model} from "./Model.sol";
import {RegistryTest} from "./RegistryTest.sol";
import {vm} from "./Vm.sol";

/// @dev What holds after any number of calls by anybody. The handler already compares each call's outcome with the
/// model's; here the whole of the registry's state is compared.
contract InvariantsTest is RegistryTest {
    Handler internal handler;
    Model internal model;

    function setUp() public override {
        super.setUp();
        model = new Model();
        handler = new Handler(registry, model);
    }

    /// @dev Where forge asks which contracts to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_a_written_release_never_changes_and_revocation_is_final() external view {
        uint256 count = model.recordCount();
        for (uint256 n = 0; n < count; ++n) {
            Model.Record memory r = model.recordAt(n);
            (, IContentRegistry.Release memory release, bytes32 manifest) =
                registry.resolve(r.publisher, r.package, r.version);
            vm.assertEq(manifest, r.manifest, "manifest");
            vm.assertEq(release.sequence, r.release.sequence, "sequence");
            vm.assertEq(release.publishedAt, r.release.publishedAt, "publishedAt");
            vm.assertEq(release.by, r.release.by, "by");
            vm.assertEq(release.revocation, r.release.revocation, "revocation");
        }
    }

    function invariant_sequences_never_skip() external view {
        uint256 total;
        for (uint256 p = 0; p < 4; ++p) {
            total += checkHistory(handler.publisherAt(p), "tool");
            total += checkHistory(handler.publisherAt(p), "fourteen-chars");
        }
        vm.assertEq(total, model.recordCount(), "releases");
    }

    function invariant_nobody_writes_under_anothers_name() external view {
        address bystander = handler.BYSTANDER();
        vm.assertEq(headOf(bystander, "tool").updatedAt, 0, "a name that nobody here controls");
        vm.assertEq(headOf(bystander, "fourteen-chars").updatedAt, 0, "a name that nobody here controls");
        for (uint256 p = 0; p < 4; ++p) {
            address publisher = handler.publisherAt(p);
            (, uint48 epoch) = registry.publishers(publisher);
            vm.assertEq(registry.controllerOf(publisher), model.controllerOf(publisher), "controller");
            vm.assertEq(registry.pendingControllers(publisher), model.pending(publisher), "pending controller");
            vm.assertEq(epoch, model.epochs(publisher), "epoch");
            for (uint256 actor = 0; actor < 5; ++actor) {
                bool may = model.mayPublish(handler.actorAt(actor), publisher, "tool");
                vm.assertTrue(registry.isAuthorized(publisher, "tool", handler.actorAt(actor)) == may, "authority");
            }
        }
    }

    function invariant_endorsements_are_what_their_endorsers_said_last() external view {
        for (uint256 actor = 0; actor < 5; ++actor) {
            for (uint256 n = 1; n < 40; n += 5) {
                bytes32 manifest = keccak256(abi.encode("manifest", n));
                (uint40 endorsedAt, uint8 kind) = registry.endorsements(handler.actorAt(actor), manifest);
                IContentRegistry.Endorsement memory expected = model.endorsementOf(handler.actorAt(actor), manifest);
                vm.assertEq(endorsedAt, expected.endorsedAt, "endorsedAt");
                vm.assertEq(kind, expected.kind, "kind");
            }
        }
    }

    /// @dev A run in which nothing happened would prove nothing. (Forge also tries short ones, to shrink a failure.)
    function afterInvariant() external view {
        if (handler.attempts() < 50) return;
        vm.assertTrue(handler.published() != 0, "something was published");
        vm.assertTrue(handler.refused() != 0, "something was refused");
    }

    /// @dev Compares a package's head and whole history with the model's -> number of releases.
    function checkHistory(address publisher, string memory package) internal view returns (uint256) {
        IContentRegistry.Head memory head = headOf(publisher, package);
        IContentRegistry.Head memory expected = model.headOf(publisher, package);
        vm.assertEq(head.count, expected.count, "count");
        vm.assertEq(head.latest, expected.latest, "latest");
        vm.assertEq(head.updatedAt, expected.updatedAt, "updatedAt");
        bytes32[] memory digests = registry.history(publisher, package, 1, type(uint256).max);
        vm.assertEq(digests.length, head.count, "length of the history");
        for (uint256 n = 0; n < digests.length; ++n) {
            vm.assertTrue(digests[n] != 0, "a gap in the history");
        }
        vm.assertEq(registry.manifests(registry.packageKey(publisher, package), 0), 0, "before the first");
        vm.assertEq(registry.manifests(registry.packageKey(publisher, package), head.count + 1), 0, "after the last");
        return digests.length;
    }
}
