"""``--error-term``: what needs another engine or method is refused before anything is written."""

from relp_sae.records import RunFolder


def test_frozen_error_terms_through_the_command_line(inputs, sae_folder, relp_sae, tmp_path):
    saes = f"{inputs.sae},{sae_folder('resid_pre.2', seed=1)}"
    out = tmp_path / "run"
    asked = ["--model", inputs.model, "--sae", saes, "--task", inputs.task, "--out", out]
    asked += ["--error-term", "frozen", "--truths", "denoise", "--bootstrap", 100, "--n", 2]

    code, _, printed = relp_sae("run", *asked)
    assert code == 2
    assert "no secant, secant:2" in printed
    asked += ["--methods", "gradient,relp", "--base", "corrupted"]
    code, _, printed = relp_sae("run", *asked)
    assert code == 2
    assert "--engine reference" in printed
    assert not out.exists()

    code, _, _ = relp_sae("run", *asked, "--engine", "reference")
    assert code == 0
    folder = RunFolder.open(out)
    manifest = folder.read_manifest()
    assert manifest.config.error_term == "frozen"
    assert {site for found in manifest.completeness.values() for site in found} == {"resid_pre.2"}
    report = (out / "report.md").read_text()
    assert "stay those of the run that is patched" in report
    assert "| error terms of later SAEs | frozen |" in report
