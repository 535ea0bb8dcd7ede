"""2.2: a subject is gone from the Schema Registry, and messages cannot be validated."""

from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Scenario
from rehearsal.scenarios.world import World

_SERVICE = "normalization-service"
_SUBJECT = "ingestion.miso.normalized.v1-value"


async def _subject_gone(world: World) -> None:
    del world.standin.versions[_SUBJECT]
    for pod in world.pods(_SERVICE):
        for offset in range(5):
            text = f"ERROR validation_error: no schema for subject {_SUBJECT}, offset {offset}"
            world.cluster.log(NAMESPACE, pod["metadata"]["name"], text)


SCENARIO = Scenario(
    name="2.2",
    row="2.2",
    breaks="Somebody deletes a subject of the Schema Registry, and messages fail validation.",
    does="It writes nothing, and tells a person which subject is missing and how to register it.",
    end=HandedOver("subject-missing", _SUBJECT),
    wrecks=_subject_gone,
    fired=Fired("ValidationErrorsHigh", f"Deployment/{_SERVICE}", value="12.5%"),
)
