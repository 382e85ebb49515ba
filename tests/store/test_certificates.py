"""Certificates: a fault of theirs is found wherever it is hidden, and files are looked for before anybody connects."""

import ssl
from pathlib import Path

import pytest

from mqjobs.model.errors import ConfigurationError
from mqjobs.store.certificates import certificate_fault, require_files


def test_a_fault_is_found_among_the_causes() -> None:
    fault = ssl.SSLCertVerificationError(1, "no")
    fault.verify_message = "self-signed certificate"
    outer = OSError("lost")
    outer.__cause__ = fault

    said = "its certificate is not to be trusted: self-signed certificate"
    assert certificate_fault(fault) == said
    assert certificate_fault(outer) == said
    assert certificate_fault(OSError("lost")) is None


def test_only_files_that_are_named_have_to_be_there(tmp_path: Path) -> None:
    there = tmp_path / "root.pem"
    there.touch()
    require_files(
        "MQJOBS_BROKER_URL", f"amqps://mq/?cafile={there}&heartbeat=5", ["cafile", "keyfile"]
    )

    with pytest.raises(ConfigurationError, match=r"^MQJOBS_BROKER_URL: cafile '.*' cannot be read"):
        require_files("MQJOBS_BROKER_URL", f"amqps://mq/?cafile={tmp_path}/other", ["cafile"])
