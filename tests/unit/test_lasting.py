"""Is what was written still there, and if not, who has changed it back?"""

from dataclasses import replace

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


@pytest.mark.parametrize(
    ("writes", "survey", "told"),
    [
        pytest.param([Write(REF, ("spec", "replicas"), 9, known=False)], survey(3), None, id="not known beforehand"),
        pytest.param(
            [WRITE, Write(REF, ("spec", "paused"), True)], survey(2),
            "spec.replicas is 2, and 3 was written: who did it is unknown; "
            "spec.paused is not there, and true was written: who did it is unknown",
            id="two fields",
        ),
        pytest.param(
            [WRITE], survey(2, ARGO),
            "spec.replicas is 2, and 3 was written: it is held by Application carbon (as argocd-controller)",
            id="its owner, by the name under which it writes",
        ),
        pytest.param(
            [WRITE], survey(2, Holder(System.OTHER, "kubectl", "kubectl")),
            "spec.replicas is 2, and 3 was written: it is held by kubectl", id="its owner, by its own name",
        ),
        pytest.param(
            [WRITE], survey(2, Holder(System.OTHER, "kubectl", "")),
            "spec.replicas is 2, and 3 was written: it is held by kubectl", id="its owner, by no other name",
        ),
        pytest.param(
            [WRITE], survey("x" * 300),
            f'spec.replicas is "{"x" * 199}, and 3 was written: who did it is unknown', id="cut to what can be read",
        ),
    ],
)  # fmt: skip
def test_what_changed_and_who_did_it_is_one_sentence(
    writes: list[Write], survey: Survey, told: str | None
) -> None:
    assert reverted(writes, [survey]) == (None if told is None else f"{REF}: {told}")


def test_a_field_of_another_object_is_not_this_ones() -> None:
    other = replace(REF, name="other")
    assert reverted([Write(other, ("spec", "replicas"), 9), WRITE], [survey(3)]) is None
