"""A run's findings from Python."""

import shutil

import pytest

import relp_sae as rs
from relp_sae.errors import InputError


def test_findings_are_read_and_made_where_they_lack(finished, tmp_path):
    assert repr(rs.findings(finished)) == repr(rs.RunFolder.open(finished).read_findings())
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "agreement.json").unlink()
    made = rs.findings(str(copy))
    assert len(made.agreements) > 100
    assert (copy / "agreement.json").read_text() == (finished / "agreement.json").read_text()


def test_findings_of_no_run_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        rs.findings(tmp_path / "nothing")
