"""The cards in the report and on the terminal: nothing of a text is taken as markup."""

from relp_sae.records import CardScore, Context, FeatureCard, FeatureCards, MovedToken
from relp_sae.report.document import markdown, page
from relp_sae.report.features import feature_table, features_sections, leading

EVIL = "<script>`*|\x1b[1m\n"


def card(feature, rank):
    scores = (
        CardScore("estimate", "relp", "relp@clean", 1.0, 1, 0.25),
        CardScore("estimate", "random", "random", 1.0, 1, 7.125),
        CardScore("truth", "noise", "noise", 1.0, rank, -0.5),
    )
    contexts = (Context(3.25, f"before {EVIL}", EVIL, " after"),)
    moved = (MovedToken(EVIL, 0.5), MovedToken(" her", 0.25))
    return FeatureCard("resid_pre.1", feature, 2, 3, scores, 0.0123, 3.25, contexts, moved, ())


FOUND = FeatureCards(1, ("noise", "relp@clean"), 5000, 40, 0.5, (card(7, 1), card(8, 2)))


def test_features_that_lead_no_truth_are_folded():
    first, more = features_sections(FOUND)
    assert not first.folded
    assert more.folded
    assert [one.feature for one in leading(FOUND)] == [7]
    assert features_sections(None) == []


def test_the_page_marks_the_token_and_escapes_all_text(tmp_path):
    html = page("title", features_sections(FOUND), tmp_path)
    shown = "&lt;script&gt;`*|�[1m↵"
    assert f"before {shown}<mark>{shown}</mark> after" in html
    assert f'<code class="token">{shown}</code>' in html
    assert "<script>" not in html
    assert "\x1b" not in html
    assert "1.23 % of the text" in html
    assert "relp@clean 0.250 (1)" in html
    assert "7.125" not in html  # a baseline says nothing of a feature


def test_markdown_has_the_token_as_code_and_the_rest_as_text():
    text = markdown("title", features_sections(FOUND))
    code = "``<script>`*|�[1m↵``"
    assert f"- 3.25: before &lt;script&gt;\\`\\*\\|�\\[1m↵{code} after\n" in text
    assert f"- Promotes (+0.500 to +0.250): {code}, ` her`\n" in text
    assert "### resid_pre.1/7\n\n- Differs in 2 pairs" in text


def test_the_terminal_has_a_row_for_each_leading_feature():
    table = feature_table(FOUND, leading(FOUND))
    (row,) = table.rows
    assert row[:2] == ("resid_pre.1/7", "noise 1")
    assert row[2].endswith("' her'")
    assert "«<script>`*|�[1m↵» after" in row[3]
