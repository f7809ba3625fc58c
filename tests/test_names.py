"""The public names are all there, and importing the package alone costs little."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pulp_dl


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    for name in pulp_dl.__all__:
        assert getattr(pulp_dl, name) is not None
    assert dir(pulp_dl) == sorted(pulp_dl.__all__)


def test_what_is_no_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Downlaoder"):
        pulp_dl.Downlaoder  # noqa: B018  # asking is the point


def test_the_package_alone_imports_neither_twisted_nor_tls() -> None:
    code = "import sys, pulp_dl; print([name for name in ('twisted', 'OpenSSL', 'attrs') if name in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
