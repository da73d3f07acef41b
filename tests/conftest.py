"""How hard hypothesis tries: as usual, or ``SETPROTO_HYPOTHESIS=thorough`` for a night's run; RSA keys; slow tests."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import remembered, rsa_keys

# No deadline and no complaint about slow data: the time of an RSA key or of a busy machine is not a defect.
settings.register_profile(
    "default", deadline=None, max_examples=100, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("SETPROTO_HYPOTHESIS", "default"))

rsa_keys.deal_again(rsa_keys.of_the_vectors())
remembered.remember()

LONG = (
    *("secrecy", "bank", "faults", "conservation", "properties/test_state_machines.py"),
    *("pki/test_fuzz.py", "pki/test_agreement.py", "pki/test_rules.py", "pki/test_large_crl.py"),
    *("conformance", "vectors/test_generate.py", "vectors/test_node.py", "vectors/test_asn1.py", "mutation"),
    *("vectors/test_command.py", "vectors/test_files.py", "vectors/test_lint.py", "test_properties_document.py"),
    *("registration/test_refusals.py", "registration/test_refused_answers.py", "registration/test_secrecy.py"),
    *("ca/test_command.py", "cli/test_scenario.py", "cli/test_keep.py", "cli/test_inspect.py", "vectors/test_flows.py"),
    *("benchmarks", "server", "wallet", "bank", "audit", "shop", "outside"),
    *("interop", "roles_payment", "roles/test_wrong_place.py", "roles/test_certificates.py"),
    *("audit/test_dispute.py", "audit/test_replay.py"),
)
"""What takes long and does not depend on the version of Python: run on the first interpreter only."""


def is_long(path: Path) -> bool:
    """Whether a file or folder is one of :data:`LONG`."""
    return path.relative_to(Path(__file__).parent).as_posix().startswith(LONG)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where no slow tests are wanted, what has no others is not even imported."""
    return True if config.option.markexpr == "not slow" and is_long(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of :data:`LONG` as slow."""
    for item in items:
        if is_long(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fixtures and test alike."""
    with remembered.read_anew(item.path):
        return (yield)
