"""Quick diagnostics of a namespace on demand: for the command line,
and for the API of a running service.

Never here: what any of it means (quick.py), or how it is shown.
"""

from dataclasses import dataclass, field

from service.desk.quick import Quick, quick
from service.diagnose.chapter import Look
from service.diagnose.chapters.quick import CHAPTER, QuickEvidence
from service.diagnose.gather import Observe
from service.diagnose.sources import Sources
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.playbooks.quick import ForTarget

MOST = 2  # at a time: each reads a whole namespace


@dataclass(slots=True)
class QuickLook:
    """Looks at a namespace through these clients. `inside` says that this
    process runs in the cluster.
    """

    sources: Sources
    parameters: ForTarget
    clock: Clock
    within_s: float
    inside: bool
    _under_way: int = field(default=0, init=False)

    async def at(
        self, namespace: str, observe: Observe = lambda *_: None
    ) -> tuple[Quick, QuickEvidence]:
        """What is wrong there, and all that was seen, within `within_s` seconds.

        `observe` hears of each probe as it ends. Raises Unavailable(diagnosing) while MOST others
        look, and BadInput(target_unresolved) where a parameter has no value for the namespace.
        """
        if self._under_way >= MOST:
            raise Unavailable(Reason.DIAGNOSING, f"{MOST} diagnoses are under way, ask again")
        self._under_way += 1
        try:
            target = Target(TargetKind.PLATFORM, namespace, namespace)
            deadline = Deadline.after(self.within_s)
            look = Look(self.sources, target, deadline, self.clock, observe)
            seen = await CHAPTER.diagnose(look, self.parameters(target))
        finally:
            self._under_way -= 1
        return quick(seen, namespace, self.clock.now(), inside=self.inside), seen
