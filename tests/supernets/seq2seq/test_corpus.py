"""The corpus: what counts as a sentence, what is cut out of help pages and message files, and the split by page."""

from __future__ import annotations

import gettext
import struct
from pathlib import Path

import pytest

from supernets.errors import SupernetError
from supernets.seq2seq import corpus
from supernets.seq2seq.sentences import Limits, Pair, clean, plain, sentences, share, without_shortcuts

WORDS = Limits(lowest=4, highest=30)


def page(*paragraphs: str) -> str:
    rows = "".join(f'<p id="par_id{number}" class="paragraph">{text}</p>' for number, text in enumerate(paragraphs))
    return f"<html><body>{rows}</body></html>"


def test_help_is_aligned_by_the_names_of_its_paragraphs(tmp_path: Path) -> None:
    for language, texts in {
        "en-US": ("Click <b>OK</b>. Then&nbsp;close it.", "Alone"),
        "de": ("Klicken Sie auf <b>OK</b>. Dann schließen Sie es.",),
    }.items():
        directory = tmp_path / "usr/share/libreoffice/help" / language / "text"
        directory.mkdir(parents=True)
        (directory / "a.html").write_text(page(*texts), encoding="utf-8")
    assert list(corpus.help_pairs(tmp_path)) == [
        Pair("text/a.html", "Click OK.", "Klicken Sie auf OK."),
        Pair("text/a.html", "Then close it.", "Dann schließen Sie es."),
    ]


def test_a_paragraph_of_other_sentences_in_both_languages_stays_whole() -> None:
    assert list(sentences("f", "One. Two.", "Eins und zwei.")) == [Pair("f", "One. Two.", "Eins und zwei.")]


@pytest.mark.parametrize(
    ("english", "german", "kept"),
    [
        ("Enter the name of the query.", "Geben Sie den Namen der Abfrage ein.", True),
        ("Choose Edit - Track Changes now", "Choose Edit - Track Changes now", False),
        ("Too few words", "Zu wenige Wörter hier", False),
        ("Open the file %1 in Writer", "Öffnen Sie die Datei %1 im Writer", False),
        ("See the page at https://example.org/ there", "Siehe dort die Seite https://example.org/", False),
        ("This is much too long for that", "Kurz und gut so", False),
        ("1 2 3 4 5 6", "1 2 3 4 5 7", False),
    ],
)
def test_only_translations_of_text_are_clean(english: str, german: str, kept: bool) -> None:
    assert clean(Pair("f", english, german), WORDS) is kept


def test_markup_and_the_marks_of_shortcuts_go() -> None:
    assert plain("a <span class='x'>b</span>\n  &lt;c&gt;&shy;d") == "a b <c>d"
    assert without_shortcuts("~Save _as...") == "Save as..."


def mo_file(messages: dict[str, str]) -> bytes:
    """Write messages as `msgfmt` does: GNU gettext's format, sorted, without a hash table."""
    texts = [[text.encode() for text in column] for column in zip(*sorted(messages.items()), strict=True)]
    start, table, body = 28 + 16 * len(messages), b"", b""
    for column in texts:
        for text in column:
            table += struct.pack("<2I", len(text), start + len(body))
            body += text + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, start)
    return header + table + body


def test_messages_are_read_without_contexts_and_plurals(tmp_path: Path) -> None:
    data = mo_file(
        {
            "": "Content-Type: text/plain; charset=UTF-8\n",
            "menu\4Open": "Öffnen",
            "%d file\0%d files": "%d Datei\0%d Dateien",
        }
    )
    assert sorted(corpus.messages(data)) == [("%d file", "%d Datei"), ("Open", "Öffnen")]
    (tmp_path / "x.mo").write_bytes(data)
    with (tmp_path / "x.mo").open("rb") as file:
        assert gettext.GNUTranslations(file).pgettext("menu", "Open") == "Öffnen"


@pytest.mark.parametrize("data", [b"", b"\0" * 40])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(SupernetError, match=r"no little-endian \.mo file"):
        list(corpus.messages(data))


def test_the_split_is_by_file_and_leaves_nothing_learned_in_what_is_measured() -> None:
    pairs = [
        Pair(f"page-{page}", f"The {page} word number {line} here", f"Das {page} Wort Nummer {line} hier")
        for page in "abcdefghijklmnopqrstuvwxyz"
        for line in ("one", "two", "three")
        for page in [page * 3]
    ]
    repeated = [Pair(f"page-{n}", "Click on the button here", "Klicken Sie hier auf den Knopf") for n in range(90)]
    parts = corpus.split([*pairs, *repeated, Pair("interface/sw", "File", "Datei")])
    files = [{pair.file for pair in part} for part in (parts.training, parts.validation, parts.held_out)]
    assert not files[0] & files[1] | files[0] & files[2] | files[1] & files[2]
    assert Pair("interface/sw", "File", "Datei") in parts.training
    learned = {pair.german for pair in parts.training}
    assert "Klicken Sie hier auf den Knopf" in learned
    assert not {pair.german for pair in (*parts.validation, *parts.held_out)} & learned
    assert len(parts.training) == len({pair.english for pair in parts.training})


def test_what_is_reported_on_is_never_learned_from() -> None:
    reported = corpus.read(corpus.REPORTED)
    assert len({pair.english for pair in reported}) == len(reported) == 1000
    assert all(clean(pair, corpus.MEASURED) for pair in reported)
    moved = [Pair("interface/moved", reported[0].english, "anders"), Pair("interface/x", "else", reported[1].german)]
    parts = corpus.split([*reported, *moved, Pair("interface/sw", "File", "Datei")], reported)
    assert parts.training == [Pair("interface/sw", "File", "Datei")]
    assert corpus.chosen(parts.held_out[::-1], reported)[::-1] == corpus.chosen(parts.held_out, reported) == reported
    odd = Pair("page", "Press the ⯮ key once", "Drücken Sie die Taste ⯮")
    assert odd in corpus.chosen([odd], [odd])
    assert corpus.chosen([odd], reported) == []


def test_a_share_is_even_and_depends_on_nothing_else() -> None:
    assert share("a", "split") == share("a", "split")
    drawn = [share(str(n), "split") for n in range(1000)]
    assert 0.45 < sum(drawn) / 1000 < 0.55


def test_written_pairs_are_read_again_and_a_broken_line_is_named(tmp_path: Path) -> None:
    pairs = [Pair("a", "One word", "Ein Wort"), Pair("b", "Übergröße", "ß")]
    corpus.write(tmp_path / "p.tsv", pairs)
    assert corpus.read(tmp_path / "p.tsv") == pairs
    (tmp_path / "p.tsv").write_text("a\tb\tc\na\tb\n")
    with pytest.raises(SupernetError, match="line 2: 2 fields"):
        corpus.read(tmp_path / "p.tsv")
