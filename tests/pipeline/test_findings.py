"""A run's findings from Python."""

import shutil

import pytest

import relp_sae as rs
from relp_sae.errors import InputError


def test_findings_are_read_and_made_where_they_lack(finished, tmp_path):
    saved = rs.RunFolder.open(finished).read_findings()
    assert rs.findings(finished).contrasts == saved.contrasts
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "agreement.json").unlink()
    made = rs.findings(str(copy))
    assert made.contrasts == saved.contrasts
    assert (copy / "agreement.json").read_text() == (finished / "agreement.json").read_text()


def test_findings_of_no_run_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a run folder"):
        rs.findings(tmp_path / "nothing")
