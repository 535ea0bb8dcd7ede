"""The status of a pod, in the form and wording of the recorded server,
for each step of a pod's life.

Never here: when a step happens.
"""

from rehearsal.cluster.objects import Object, name_of, namespace_of, short_hash, uid_of

_ORDER = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def _set(
    pod: Object, kind: str, now: str, *, true: bool, reason: str = "", message: str = ""
) -> None:
    conditions = {entry["type"]: entry for entry in pod["status"].get("conditions", [])}
    status = "True" if true else "False"
    old = conditions.get(kind, {})
    entry = {
        "type": kind,
        "observedGeneration": 1,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else now,
    }
    if reason:
        entry |= {"reason": reason, "message": message}
    conditions[kind] = entry
    pod["status"]["conditions"] = [conditions[name] for name in _ORDER if name in conditions]


def _statuses(pod: Object) -> list[Object]:
    return list(pod["status"].get("containerStatuses", []))


def _one(pod: Object, container: str) -> Object:
    return next(entry for entry in _statuses(pod) if entry["name"] == container)


def unschedulable(pod: Object, now: str, message: str) -> None:
    _set(pod, "PodScheduled", now, true=False, reason="Unschedulable", message=message)


def scheduled(pod: Object, node: Object, now: str) -> None:
    """On a node, containers creating."""
    address = next(
        (
            entry["address"]
            for entry in node.get("status", {}).get("addresses", [])
            if entry["type"] == "InternalIP"
        ),
        "127.0.0.1",
    )
    pod["status"] |= {
        "observedGeneration": 1,
        "phase": "Pending",
        "startTime": now,
        "hostIP": address,
        "hostIPs": [{"ip": address}],
        "containerStatuses": [_creating(container) for container in pod["spec"]["containers"]],
    }
    _set(pod, "PodReadyToStartContainers", now, true=False)
    _set(pod, "Initialized", now, true=True)
    _set(pod, "PodScheduled", now, true=True)
    _unready(pod, now)


def _creating(container: Object) -> Object:
    return {
        "name": container["name"],
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container.get("image", ""),
        "imageID": "",
        "started": False,
    }


def running(pod: Object, now: str) -> None:
    """All containers run; none is ready yet."""
    number = int(uid_of(pod).replace("-", "")[:4], 16)
    address = f"10.244.{number // 256}.{number % 256}"
    pod["status"] |= {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    for container, status in zip(pod["spec"]["containers"], _statuses(pod), strict=True):
        image = container["image"]
        status |= {
            "state": {"running": {"startedAt": now}},
            "image": image,
            "started": True,
            "imageID": f"{image.rpartition(':')[0]}@sha256:{short_hash(image, 32)}",
            "containerID": f"containerd://{short_hash([uid_of(pod), container['name'], 0], 32)}",
        }
    _set(pod, "PodReadyToStartContainers", now, true=True)
    _unready(pod, now)


def set_ready(pod: Object, now: str, *, ready: bool) -> None:
    for status in _statuses(pod):
        status["ready"] = ready and "running" in status["state"]
    if all(status["ready"] for status in _statuses(pod)):
        _set(pod, "Ready", now, true=True)
        _set(pod, "ContainersReady", now, true=True)
    else:
        _unready(pod, now)


def _unready(pod: Object, now: str) -> None:
    names = " ".join(status["name"] for status in _statuses(pod) if not status["ready"])
    for kind in ("Ready", "ContainersReady"):
        _set(
            pod,
            kind,
            now,
            true=False,
            reason="ContainersNotReady",
            message=f"containers with unready status: [{names}]",
        )


def terminated(pod: Object, container: str, exit_code: int, reason: str, now: str) -> None:
    status = _one(pod, container)
    started = status["state"].get("running", {}).get("startedAt", now)
    status |= {
        "ready": False,
        "started": False,
        "state": {
            "terminated": {
                "exitCode": exit_code,
                "reason": reason,
                "startedAt": started,
                "finishedAt": now,
                "containerID": status.get("containerID", ""),
            }
        },
    }
    _unready(pod, now)


def backing_off(pod: Object, container: str, wait_s: float) -> None:
    status = _one(pod, container)
    message = (
        f"back-off {_go_duration(wait_s)} restarting failed container={container} "
        f"pod={name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
    )
    status |= {
        "lastState": status["state"],
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
    }


def restarted(pod: Object, container: str, now: str) -> None:
    status = _one(pod, container)
    count = status["restartCount"] + 1
    last = status["state"] if "terminated" in status["state"] else status["lastState"]
    status |= {
        "state": {"running": {"startedAt": now}},
        "lastState": last,
        "restartCount": count,
        "started": True,
        "containerID": f"containerd://{short_hash([uid_of(pod), container, count], 32)}",
    }


def config_error(pod: Object, container: str, message: str, now: str) -> None:
    """The container cannot be made: what it takes its environment from is not there."""
    waiting = {"reason": "CreateContainerConfigError", "message": message}
    _one(pod, container)["state"] = {"waiting": waiting}
    _set(pod, "PodReadyToStartContainers", now, true=True)


def pull_failure(image: str) -> str:
    return (
        f'Failed to pull image "{image}": rpc error: code = NotFound desc = failed to pull and unpack image '
        f'"{image}": failed to resolve reference "{image}": {image}: not found'
    )


def pull_failed(pod: Object, containers: set[str], now: str) -> None:
    for status in _statuses(pod):
        if status["name"] in containers:
            message = f'Back-off pulling image "{status["image"]}": ErrImagePull: {pull_failure(status["image"])}'
            status["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    _set(pod, "PodReadyToStartContainers", now, true=True)


def _go_duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
