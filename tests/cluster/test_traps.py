"""156 facts that a naive emulator gets wrong, each seen on a real server:
where each is held here, or why it is not.

`file:exchange` is an exchange of the recordings that the replay compares;
anything else is a test of this folder.
"""

from importlib import import_module

import pytest

from tests.cluster import test_conversations
from tests.cluster.recorded import scenario
from tests.cluster.test_replay import NOT_COMPARED, NOT_EMULATED

HELD = {
    1: "05a:patch-memory-again", 2: "05a:patch-memory-4096Mi", 3: "05a:patch-metadata-label",
    4: "05a:patch-metadata-annotation", 5: "05a:patch-configmap",
    6: "test_rollouts.test_a_restart_goes_through_the_recorded_statuses",
    7: "test_rollouts.test_with_the_controllers_down_everything_but_the_generation_looks_complete",
    8: "05a:patch-status-through-main", 9: "test_rollouts.test_scaling_goes_through_the_recorded_statuses",
    10: "01:list-pods", 11: "test_api.test_one_counter_numbers_the_writes_of_all_kinds",
    12: "05b:merge-remove-field", 14: "05a:patch-memory-dry-run", 15: "05c:sa-dry-run-forbidden",
    18: "05b:string-body", 19: "05b:strategic-new-container",
    20: "test_forms.test_a_list_without_a_merge_key_is_replaced_whole", 21: "05b:strategic-delete-container",
    22: "05b:strategic-no-name", 23: "05b:merge-one-container", 24: "05b:json-test-fails",
    25: "05c:stale-resource-version-patch", 26: "05c:create-exists", 27: "05b:unsupported-content-type",
    28: "05c:string-replicas-merge-patch", 29: "05a:patch-configmap-int", 30: "05c:two-invalid-values",
    31: "05c:unknown-field-strict", 32: "05c:immutable-selector", 33: "05c:put-without-resource-version",
    34: "05c:sa-forbidden-missing-object", 35: "12d:create-in-terminating", 37: "05c:no-token",
    38: "05a:read-deployment-after-configmap",
    46: "test_rollouts.test_a_restart_goes_through_the_recorded_statuses",
    47: "test_rollouts.test_after_a_restart_old_pods_still_end_and_look_ready",
    48: "test_rollouts.test_a_stateful_set_restarts_from_the_highest_ordinal_through_the_recorded_statuses",
    49: "test_rollouts.test_a_stuck_rollout_only_turns_a_condition_and_a_rollback_uses_the_old_replica_set_again",
    50: "test_rollouts.test_a_stuck_rollout_only_turns_a_condition_and_a_rollback_uses_the_old_replica_set_again",
    51: "test_rollouts.test_a_stuck_rollout_only_turns_a_condition_and_a_rollback_uses_the_old_replica_set_again",
    52: "test_pods.test_a_deployment_whose_pods_all_crash_still_says_that_it_progressed",
    53: "test_rollouts.test_a_paused_deployment_takes_a_restart_and_does_nothing_until_it_is_resumed",
    54: "test_rollouts.test_a_broken_stateful_set_stays_broken_until_its_pod_is_deleted",
    55: "test_rollouts.test_scaling_goes_through_the_recorded_statuses",
    56: "test_rollouts.test_scaling_goes_through_the_recorded_statuses",
    57: "test_rollouts.test_an_autoscaler_undoes_a_scale_outside_its_bounds_and_is_off_at_zero",
    58: "test_rollouts.test_a_stateful_set_scales_through_the_recorded_statuses",
    59: "test_pods.test_a_crash_loop_backs_off_as_recorded_and_ends_when_the_cause_is_gone",
    60: "test_pods.test_a_crash_loop_backs_off_as_recorded_and_ends_when_the_cause_is_gone",
    61: "test_pods.test_in_a_crash_loop_the_log_and_the_previous_log_are_the_same",
    62: "test_pods.test_in_a_crash_loop_the_log_and_the_previous_log_are_the_same",
    64: "test_rollouts.test_a_stuck_rollout_only_turns_a_condition_and_a_rollback_uses_the_old_replica_set_again",
    67: "test_rollouts.test_a_broken_stateful_set_stays_broken_until_its_pod_is_deleted",
    68: "test_pods.test_an_unready_pod_stays_in_its_endpoint_slice_as_not_ready",
    71: "01:pod-logs-container-missing", 72: "01:pod-logs-previous-none",
    74: "test_pods.test_the_scheduler_writes_new_style_events_and_the_kubelet_old_style_ones",
    75: "09:create-core-again",
    76: "test_pods.test_a_crash_loop_backs_off_as_recorded_and_ends_when_the_cause_is_gone",
    77: "01:list-events", 78: "09:involved-object-namespace-mismatch", 79: "09:core-bad-type",
    81: "test_forms.test_an_event_time_needs_six_digits", 82: "01:list-bad-field-selector",
    83: "01:list-pods-missing-namespace",
    84: "test_api.test_an_expired_page_is_gone_and_its_new_token_goes_on_with_what_is_there",
    85: "test_api.test_a_list_is_refused_as_the_server_refuses_it",
    92: "test_api.test_a_list_is_refused_as_the_server_refuses_it", 98: "12d:delete-namespace",
    99: "test_api.test_a_deletion_with_a_false_precondition_is_a_conflict", 100: "12d:remove-finalizer",
    104: "11:unknown-resource", 105: "11:can-patch-deployments", 107: "12b:patch-429", 108: "01:unknown-group",
    109: "test_trouble.test_a_scripted_answer_after_commit_hides_a_write_that_was_done",
    112: "test_trouble.test_after_its_end_the_server_refuses_connections",
    13: "06c:apply-limit-conflict", 40: "06a:apply-create", 41: "06a:apply-conflict",
    42: "06a:apply-after-edit-conflicts", 43: "06c:apply-nothing", 44: "06b:apply-conflict",
    45: "06b:apply-role-ref-change",
    63: "test_failures.test_liveness_kills_are_told_by_events_and_end_when_the_probe_waits_longer",
    65: "test_failures.test_a_missing_config_map_keeps_new_pods_from_being_made_until_it_is_there",
    114: "13a:patch-restart", 115: "13a:read-kubectl-restart", 116: "13a:read-kubectl-scale",
    117: "13a:read-paramedic-scale", 118: "13b:without-read-scaled", 119: "13b:post-without-replicas-read-scaled",
    120: "13a:patch-same-value", 121: "13a:patch-restart", 122: "13a:apply-after-clear",
    123: "13a2:read-applied-again", 124: "13a2:ssa-drop-replicas", 125: "13b:with-reconcile",
    126: "13b:with-apply-no-force", 127: "13b:without-reconcile", 128: "13c:rollout-plain-apply",
    129: "13c:rollout-apply", 130: "13c:paramedic-apply", 131: "13c:paramedic-annotation-null",
    132: "13d:read-healed", 133: "13d:read-scaled", 134: "13e:ssa-upgrade-conflict", 135: "13f:no-group",
    136: "13f:read-podset", 137: "13f:podset-annotate-client-default", 138: "13f:chi-restart-again",
    139: "13f:chi-scale", 140: "13f:statefulset-after-crd-deleted", 141: "13g:read-deployment-restored",
    143: "13h:strategic-wrong-uid", 144: "13h:apply-uid-missing-object",
    145: "13h:wrong-uid-stale-resource-version", 146: "13h:delete-namesake-with-old-uid",
    147: "test_rollouts.test_an_undo_by_a_guarded_json_patch_brings_the_old_template_back_once",
    148: "13i1:replicasets-hash-left-in",
    153: "13i4:networkpolicy-dry-run-same",
    154: "test_failures.test_a_stateful_set_waits_for_pod_0_without_a_sign_and_rolls_when_it_recovers",
    155: "test_failures.test_a_stateful_set_waits_for_pod_0_without_a_sign_and_rolls_when_it_recovers",
}  # fmt: skip

_WATCH = "watches are 501"
_EVICTION, _LEASES = "pods/eviction is 501, budgets are read back as seeded", "leases are 501"
NOT_HELD = {
    16: "resource quotas are 501", 17: _EVICTION,
    36: "there are no admission policies",
    39: "held by writes; its exchange is redacted",
    66: "volumes are not mounted",
    69: "nodes do not die", 70: "nothing flaps by itself: crash() and set_ready() in turn",
    73: "events.k8s.io is 501", 80: "events.k8s.io is 501", **dict.fromkeys(range(86, 92), _WATCH), 93: _WATCH,
    **dict.fromkeys(range(94, 98), _EVICTION), **dict.fromkeys(range(101, 104), _LEASES),
    106: "a fault can be injected; tokens of deleted accounts live as long as the embedder keeps them",
    110: "there is one store and no cache", 111: "there are no webhooks; a fault can be injected",
    113: "a fault can be injected",
    142: "metrics are not read",
    149: _EVICTION, 150: _EVICTION, 151: "claims are not bound", 152: "claims are not bound",
    156: "partitions are held by test_rollouts only as far as they keep pods",
}  # fmt: skip


def test_every_trap_is_held_or_said_not_to_be() -> None:
    assert sorted([*HELD, *NOT_HELD]) == list(range(1, 157))
    assert len(HELD) >= 115


@pytest.mark.parametrize("where", sorted(set(HELD.values())))
def test_a_trap_is_held_by_something_that_exists(where: str) -> None:
    if ":" in where:
        file, name = where.split(":")
        assert name in [entry["name"] for entry in scenario(file)["exchanges"]]
        assert name not in NOT_EMULATED
        assert name not in NOT_COMPARED
        assert name not in test_conversations.NOT_COMPARED.get(file, {})
    else:
        module, _, test = where.partition(".")
        assert hasattr(import_module(f"tests.cluster.{module}"), test)
