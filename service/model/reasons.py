"""The closed list of reasons. No verdict without one of these words.

The same word stands in the log event, the metric label, the ledger and the decision record,
so that a person who sees it in one place can search for it in all others. A new reason needs
a line here; `make manifests` renews docs/reference.md, and a test compares the two.
"""

from enum import StrEnum


# fmt: off
class Reason(StrEnum):
    """Why something was found, ruled, done or not done: one word, the same everywhere."""

    # A reading is Unknown because ...
    LATE = "late"  # the backend had not answered at the deadline
    UNREACHABLE = "unreachable"  # no connection: refused, no route, name not found, TLS failed
    CONNECTION_LOST = "connection_lost"  # the connection broke before the answer was whole
    WRONG_ANSWER = "wrong_answer"  # an answer came that cannot be read as what was asked for
    UNAUTHORIZED = "unauthorized"  # the backend does not know us (401)
    FORBIDDEN = "forbidden"  # the backend knows us and says no (403)
    NOT_FOUND = "not_found"  # the thing asked for does not exist (404)
    CONFLICT = "conflict"  # the object changed under our hands (409)
    THROTTLED = "throttled"  # the backend sheds load (429)
    INVALID_REQUEST = "invalid_request"  # the backend says that what we sent cannot be (400, 415, 422)
    SERVER_ERROR = "server_error"  # the backend failed inside (5xx)
    NOT_CONFIGURED = "not_configured"  # no address of this backend is configured
    CREDENTIALS_UNREADABLE = "credentials_unreadable"  # the file of a password or token cannot be read now
    NO_DATA = "no_data"  # the backend answered, and has nothing about this
    PROBE_FAILED = "probe_failed"  # a bug of ours: the probe itself raised

    # An alert leads to no incident because ...
    NO_PLAYBOOK = "no_playbook"  # no playbook's matchers match its labels
    TARGET_UNRESOLVED = "target_unresolved"  # its labels do not name the playbook's target
    OWN_ALERT = "own_alert"  # it is Paramedic's own, brought back by a route
    NAMESPACE_NOT_ALLOWED = "namespace_not_allowed"  # its target lies outside the allowed namespaces

    # A rung of the ladder is passed over because ...
    DOES_NOT_HOLD = "does_not_hold"  # its condition is false
    EVIDENCE_UNKNOWN = "evidence_unknown"  # its condition needs a reading that is Unknown
    ALREADY_TRIED = "already_tried"  # it was tried as often as it may be in this incident
    ARGUMENT_OUT_OF_BOUNDS = "argument_out_of_bounds"  # what the evidence gives for an argument is outside its bounds
    AT_CEILING = "at_ceiling"  # its action would pass the written ceiling
    BAD_QUANTITY = "bad_quantity"  # a quantity lacks its unit, or cannot be read as one
    BAD_NAME = "bad_name"  # an argument is not the name of a thing of its kind
    CONTAINER_UNNAMED = "container_unnamed"  # it is not said which container is meant
    TABLE_NOT_ALLOWED = "table_not_allowed"  # the table is not in the playbook's list
    BACKUP_NOT_VERIFIED = "backup_not_verified"  # no verified backup is newer than what would go
    NOT_REACHED = "not_reached"  # a rung above it was chosen
    OWNER_FOUND = "owner_found"  # the alert named a pod, and the incident is about its owner now
    TARGET_MISSING = "target_missing"  # the target does not exist
    NO_RUNG_HOLDS = "no_rung_holds"  # no rung of the ladder can be chosen
    ALREADY_HEALTHY = "already_healthy"  # the healed condition holds before anything was done

    # A guard holds an action back because ...
    MODE_OBSERVE = "mode_observe"  # the ceiling or the rung only observes
    MODE_DRY_RUN = "mode_dry_run"  # the server was asked to check the write, not to do it
    SWITCHED_OFF = "switched_off"  # a person has paused all actions
    MAINTENANCE = "maintenance"  # a maintenance window is open
    APPROVAL_REQUIRED = "approval_required"  # a person has to say yes
    VETO_PENDING = "veto_pending"  # it is announced, and done unless a person says no in time
    ALERT_RESOLVED = "alert_resolved"  # no alert of the incident fires any more
    EVIDENCE_STALE = "evidence_stale"  # the evidence is older than the guard accepts
    TARGET_BUSY = "target_busy"  # another action on the target has no outcome yet
    COOLING_DOWN = "cooling_down"  # the target was acted on a moment ago
    BUDGET_TARGET = "budget_target"  # the target's budget is spent
    BUDGET_PLAYBOOK = "budget_playbook"  # the playbook's budget is spent
    BUDGET_OVERALL = "budget_overall"  # the budget of all actions together is spent
    OWNED_ELSEWHERE = "owned_elsewhere"  # GitOps, an operator or an autoscaler would put the field back
    OWNER_UNKNOWN = "owner_unknown"  # who holds the field could not be read
    EXPLAINED_BY = "explained_by"  # a playbook that explains this one has an open incident in the namespace
    UNHEARD = "unheard"  # Alertmanager has not told of the alert for too long
    NOT_FIRING = "not_firing"  # Alertmanager does not have the alert any more
    SILENCED = "silenced"  # somebody has silenced the alert
    INHIBITED = "inhibited"  # another alert inhibits it
    FIRING_UNKNOWN = "firing_unknown"  # no Alertmanager says whether the alert still fires
    CLOCK_STEPPED = "clock_stepped"  # the wall clock jumped: no window of time can be trusted yet
    PROTECTED = "protected"  # the target, or an object that would be written, is written down as nobody's to touch
    BUDGET_RUNG = "budget_rung"  # the rung's budget on this target is spent
    BUDGET_NAMESPACE = "budget_namespace"  # the namespace's budget is spent
    BLAST_RADIUS = "blast_radius"  # enough of the namespace, or of all, is under treatment
    TOO_FEW_READY = "too_few_ready"  # fewer pods than written would stay ready
    SURROUNDINGS_UNKNOWN = "surroundings_unknown"  # what stands around the target could not be read
    ROLLOUT_IN_PROGRESS = "rollout_in_progress"  # the target is being rolled out just now
    DISRUPTION_BUDGET = "disruption_budget"  # a PodDisruptionBudget has no room for the pods that would go
    CHANGED_BY_PERSON = "changed_by_person"  # a person changed the object a moment ago
    CANARY = "canary"  # another target of the playbook goes first, and is not healed yet
    BREAKER_OPEN = "breaker_open"  # too many new incidents in a short time: diagnosis only
    RUNG_FUTILE = "rung_futile"  # the rung healed nothing on this target, as often as is written
    KEEPS_COMING_BACK = "keeps_coming_back"  # the target was healed as often as is written, and is ill again
    PLAYBOOK_FAILING = "playbook_failing"  # the playbook's last actions, as many as are written, healed nothing
    GUARD_FAILED = "guard_failed"  # a guard raised: that denies
    WITHIN_LIMITS = "within_limits"  # every guard lets the action pass

    # A proposal ended because ...
    APPROVED = "approved"  # a person said yes
    NO_VETO = "no_veto"  # it was announced, and nobody said no
    REJECTED = "rejected"  # a person said no
    APPROVAL_EXPIRED = "approval_expired"  # nobody said yes in time
    SECOND_PERSON = "second_person"  # who asked for it may not be who says yes
    PROPOSAL_CHANGED = "proposal_changed"  # what would be done now is another thing than what was proposed

    # An action ended because ...
    DONE = "done"  # the write was taken
    ALREADY_DONE = "already_done"  # the target already was as the action wants it
    TARGET_CHANGED = "target_changed"  # somebody else changed the target in between
    TARGET_REPLACED = "target_replaced"  # another object stands under the target's name by now
    CLAIM_LOST = "claim_lost"  # this process was paused, and another one has taken the incident over
    AUTOSCALED = "autoscaled"  # a HorizontalPodAutoscaler owns the replica count
    IN_PROGRESS = "in_progress"  # it takes long, and is asked again
    TIMED_OUT = "timed_out"  # it had not ended within the time that is written
    CONTAINER_MISSING = "container_missing"  # the workload has no container of that name
    LIMIT_MISSING = "limit_missing"  # the container has no memory limit
    PROBE_MISSING = "probe_missing"  # the container has no such probe
    KEY_MISSING = "key_missing"  # the ConfigMap has no such key
    IMMUTABLE = "immutable"  # the ConfigMap may not be changed, only replaced
    REVISION_MISSING = "revision_missing"  # the Deployment has no such earlier revision
    NOT_RECREATED = "not_recreated"  # a pod that nobody would make anew
    NOT_OF_TARGET = "not_of_target"  # the pod belongs to another workload than the target
    MANIFEST_REFUSED = "manifest_refused"  # the known-good manifest is not there, or is not what may be applied
    BACKUP_FAILED = "backup_failed"  # ClickHouse says that the backup failed, or it is empty
    RESTORE_FAILED = "restore_failed"  # ClickHouse says that the restore failed
    PARTITION_UNDATED = "partition_undated"  # the table's partitions have no date to compare
    DROPS_EVERYTHING = "drops_everything"  # every partition of the table would be dropped
    PAUSED = "paused"  # the rollout is paused: a restart would do nothing
    NEVER_SENT = "never_sent"  # the backend was away for as long as the action might have been tried
    INDETERMINATE = "indeterminate"  # the write was sent, its reply lost, and reading back did not tell

    # An incident's outcome is what it is because ...
    READINGS_PENDING = "readings_pending"  # not enough good readings in a row yet, and time is left
    READINGS_GOOD = "readings_good"  # the healed condition held for the written number of readings in a row
    READINGS_BAD = "readings_bad"  # the time for healing is over and the condition does not hold
    READINGS_WORSE = "readings_worse"  # the playbook's worse condition held
    REVERTED = "reverted"  # somebody has changed the written field back
    READINGS_UNKNOWN = "readings_unknown"  # at the end of the time the readings were Unknown
    RETURNED = "returned"  # what did not help was taken back: the written fields are as they were before
    RETURN_FAILED = "return_failed"  # what did not help could not be taken back
    RETURN_OFF = "return_off"  # the playbook lets a change stay after this outcome
    ACTION_FAILED = "action_failed"  # nothing was done, so there is nothing to verify
    JOINED = "joined"  # its alerts belong to another open incident of the same target now
    HUMAN_NEEDED = "human_needed"  # the rung that holds is one for people
    STEP_SETTLED = "step_settled"  # a step of a course was done, and its target is as the step wants it
    STOPPED = "stopped"  # a person stopped a course between two of its steps
    WITHDRAWN = "withdrawn"  # a person took back what was asked for before it had begun
    LADDER_EXHAUSTED = "ladder_exhausted"  # every remedy was tried or does not apply: escalated
    UNREADABLE = "unreadable"  # its row cannot be read: of a newer version, or broken
    STEP_STUCK = "step_stuck"  # a bug of ours: one step took longer than all its deadlines together
    PIPELINE_FAILED = "pipeline_failed"  # a bug of ours: the incident is set aside for a person

    # A webhook is not taken because ...
    ACCEPTED = "accepted"  # committed to the store
    NOT_JSON = "not_json"  # the body is no JSON
    WRONG_VERSION = "wrong_version"  # the body is of another payload version than 4
    WRONG_SHAPE = "wrong_shape"  # JSON, but not an Alertmanager webhook
    BAD_ENCODING = "bad_encoding"  # its Content-Encoding is unknown, or the body is not what it says
    TOO_LARGE = "too_large"  # the body is over the limit
    BAD_CREDENTIALS = "bad_credentials"  # none or wrong credentials
    ROLE_MISSING = "role_missing"  # the caller is known, and may not do this
    NOT_JSON_TYPE = "not_json_type"  # its Content-Type is not application/json: a foreign page could send it
    SORTING_FAILED = "sorting_failed"  # a bug of ours: accepted, could not be sorted, set aside for a person
    STORE_FULL = "store_full"  # too many webhooks wait: asked to come again
    INTAKE_FULL = "intake_full"  # too many bytes of webhooks are under way: asked to come again
    STORE_REPLACED = "store_replaced"  # the store's file was deleted or replaced while it was open: the service stops
    STORE_DOWN = "store_down"  # the store did not commit: asked to come again
    DIAGNOSING = "diagnosing"  # enough quick diagnostics are under way: asked to come again
    SHUTTING_DOWN = "shutting_down"  # the service is about to stop: asked to come again
