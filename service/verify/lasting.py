"""Is what was written still there? Pure: the fields that the ledger knows against the objects as they stand now."""

from collections.abc import Sequence

from service.model.objects import Survey, Write


def reverted(writes: Sequence[Write], surveys: Sequence[Survey]) -> str | None:
    """A sentence that names the first written field that has another value, and who holds it; None: all last."""
    now = {survey.ref.path: survey for survey in surveys}
    for write in writes:
        survey = now.get(write.ref.path)
        if survey is None or not write.known:
            continue
        field = ".".join(write.path)
        value = survey.values.get(field)
        if value == write.value:
            continue
        holder = survey.holders.get(field)
        culprit = f"{holder.name} ({holder.manager})" if holder else "it is not known who"
        return f"{write.ref}: {field} was set to {write.value!r} and is {value!r}; changed by: {culprit}"
    return None
