"""Two replicas on one PostgreSQL: what SQLite's single writer gives for nothing has to hold there too."""

import pytest

pytestmark = pytest.mark.only_on("postgresql")
