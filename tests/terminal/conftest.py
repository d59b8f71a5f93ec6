"""--update writes the screens that the repository keeps."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write the kept screens anew")


@pytest.fixture
def update(request):
    return request.config.getoption("--update")
