"""Is what was written still there, and if not, who has changed it back?"""

import pytest

from service.model.objects import Holder, Survey, System, Write
from service.verify.lasting import reverted
from tests.unit.made import TARGET

assert TARGET.ref is not None
REF = TARGET.ref
WRITE = Write(REF, ("spec", "replicas"), 3)
ARGO = Holder(System.ARGO_CD, "Application carbon", "argocd-controller")


def survey(value: object | None, holder: Holder | None = None) -> Survey:
    values = {} if value is None else {"spec.replicas": value}
    return Survey(REF, "uid-1", holders={"spec.replicas": holder} if holder else {}, values=values)


@pytest.mark.parametrize(
    ("writes", "surveys", "told"),
    [
        pytest.param([WRITE], [survey(3)], None, id="as it was written"),
        pytest.param([WRITE], [survey(3, ARGO)], None, id="held by another, with the same value"),
        pytest.param([WRITE], [], None, id="not surveyed: nobody says that it was changed"),
        pytest.param([], [survey(2)], None, id="nothing was written"),
        pytest.param(
            [WRITE], [survey(2, ARGO)], "Application carbon (as argocd-controller)", id="changed back"
        ),
        pytest.param([WRITE], [survey(2)], "who did it is unknown", id="by nobody knows whom"),
        pytest.param([WRITE], [survey(None)], "is not there, and 3 was written", id="taken away"),
        pytest.param(
            [Write(REF, ("spec", "replicas"), None)], [survey(None)], None, id="it was to be taken away"
        ),
        pytest.param(
            [Write(REF, ("spec", "paused"), None), WRITE], [survey(4)], "spec.replicas is 4, and 3 was written",
            id="one of several",
        ),
    ],
)  # fmt: skip
def test_what_was_written_lasts_or_who_changed_it_is_named(
    writes: list[Write], surveys: list[Survey], told: str | None
) -> None:
    found = reverted(writes, surveys)
    if told is None:
        assert found is None
    else:
        assert found is not None
        assert told in found
        assert str(REF) in found
