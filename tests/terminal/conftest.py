"""--update writes the screens in the repository."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write the screens in the repository again")


@pytest.fixture
def update(request):
    return request.config.getoption("--update")
