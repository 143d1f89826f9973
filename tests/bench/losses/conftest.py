import pytest

from bench.train.seeding import seeded_initialisation


@pytest.fixture(autouse=True)
def _fixed_numbers():
    """Give every test the same random numbers, whatever ran before."""
    with seeded_initialisation("test"):
        yield
