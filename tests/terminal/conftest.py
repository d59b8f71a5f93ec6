"""With --update, the tests rewrite the screens in the repository."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="rewrite the screens in the repository")


@pytest.fixture
def update(request):
    return request.config.getoption("--update")
