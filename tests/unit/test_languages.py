"""A translation is two files: whatever English says, every language says, with the same facts in it."""

from __future__ import annotations

import re
import typing

import pytest
from report_examples import demo, full_context, full_record
from test_html_report import Page, report

from edge.catalogue import load_catalogue
from edge.commands.run import main as run_main
from edge.config_sections import SiteSection
from edge.writers.html_report import render_report
from edge.writers.strings import ENGLISH, LANGUAGES, MESSAGE_SECTIONS, catalogue_names, sections, sentence, speaking

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
ENGLISH_SENTENCES = {
    (section, name): text
    for section, texts in sections(ENGLISH).items()
    if section not in MESSAGE_SECTIONS
    for name, text in texts.items()
}
# Words that stand for themselves in every language.
SAME_EVERYWHERE = {("gallery", "probability"), ("table", "percent"), ("contrast", "percent")}


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{([a-z_]+)\}", text))


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_sentences_of_english_and_no_others(language):
    found = {(section, name) for section, texts in sections(language).items() for name in texts}
    assert found == set(ENGLISH_SENTENCES)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize(("section", "name"), ENGLISH_SENTENCES)
def test_a_translated_sentence_holds_the_same_facts_and_is_translated(language, section, name):
    english, other = ENGLISH_SENTENCES[section, name], sections(language)[section][name]
    assert placeholders(other) == placeholders(english)
    assert other.strip()
    assert (other == english) == ((section, name) in SAME_EVERYWHERE)


@pytest.mark.parametrize("language", OTHERS)
def test_every_cell_type_and_finding_of_the_catalogue_has_a_name_of_its_own(language):
    catalogue, names = load_catalogue(), catalogue_names(language)
    assert set(names["type"]) == set(catalogue.type_codes)
    for section in ("finding", "short"):
        assert set(names[section]) == set(catalogue.finding_codes)
    for section in ("type", "finding"):
        assert len(set(names[section].values())) == len(names[section]), "two entries would look like one"


def test_a_language_holds_for_its_block_and_an_unknown_one_is_refused():
    with speaking("ja"):
        assert sentence("status.P") == "暫定"
        assert sentence("note.simulated").startswith("SIMULATED DATA"), "messages to a LIS stay English"
    assert sentence("status.P") == "PRELIMINARY"
    with pytest.raises(ValueError, match="no language 'de'"), speaking("de"):
        pass


def test_the_japanese_report_says_so_and_keeps_the_records_own_words_marked_as_english():
    record = demo()
    content = render_report(record, {}, full_context("ja"))
    read = Page(content)
    assert ("html", {"lang": "ja"}) in read.elements
    for words in ("暫定", "テスト", "次に行うこと", "分葉核好中球", "偽ペルゲル", "誤分類を含みません", "310"):
        assert words in read.text
    english = [attrs for tag, attrs in read.elements if attrs.get("lang") == "en"]
    assert len(english) == len(record["warnings"]) + len(record["assessments"][0]["reasons"])
    assert ("html", {"lang": "en"}) in Page(report(full_record())).elements


def test_every_figure_of_the_english_report_is_in_the_japanese_one():
    figures = re.compile(r"\d+\.\d+")
    english, other = (Page(render_report(demo(), {}, full_context(code))).text for code in ("en", "ja"))
    assert sorted(figures.findall(english)) == sorted(figures.findall(other))


def test_the_configuration_and_the_command_offer_the_languages_that_there_are(capsys):
    assert typing.get_args(SiteSection.model_fields["language"].annotation) == LANGUAGES
    with pytest.raises(SystemExit):
        run_main(["slide", "--language", "de"])
    assert ", ".join(LANGUAGES) in capsys.readouterr().err.replace("'", "")
