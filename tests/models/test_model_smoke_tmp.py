def test_run(paired_run):
    print(paired_run.model.tokenizer.vocab_size, [ (m.clean_metric, m.corrupted_metric) for m in paired_run.measured])
    print([(p.first_change, p.answer, p.foil) for p in paired_run.pairs])
    print(len(paired_run.units))
    print(paired_run.units.delta[:12])
