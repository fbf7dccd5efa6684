"""The command that builds the English-German corpus of the translator out of Debian packages.

Run it as `python -m supernets.seq2seq.corpus`. It fetches LibreOffice's help in both languages and the German texts of
its interface with apt's own tools, all under MPL-2.0, and writes three lists of pairs and the sub-word vocabulary:

- `training.tsv`: what the translator learns from, interface texts included.
- `validation.tsv`: what checkpoints are compared on.
- `held-out.tsv`: the pages that what is reported is taken from.

What is reported are the thousand pairs in `held_out/sentences.tsv`, which come with this package, so that figures stay
comparable when the packages change. They are never learned from, whatever the packages hold.

Help repeats itself from page to page, so the split is by page and not by sentence: a page's sentences go all to one
part, and what the training part has word for word, as a source or as a target, is left out of the two others. The
same packages give the same files.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from supernets.errors import SupernetError
from supernets.seq2seq import vocabulary
from supernets.seq2seq.sentences import Limits, Pair, clean, plain, sentences, share, unique, without_shortcuts

PACKAGES = ("libreoffice-help-en-us", "libreoffice-help-de", "libreoffice-l10n-de")
"""Debian packages of the corpus; their copyright files say MPL-2.0 of the texts."""

LEARNED = Limits(lowest=1, highest=45)
"""Lengths that are learned from: short interface texts too, which teach words."""

MEASURED = Limits(lowest=4, highest=30)
"""Lengths that are measured on: those of sentences."""

_HELP = "usr/share/libreoffice/help"
_INTERFACE = "usr/lib/libreoffice/program/resource/de/LC_MESSAGES"
_PARAGRAPH = re.compile(r'<(p|h\d)\b[^>]*\bid="((?:par_|hd_|bm_)[^"]*)"[^>]*>(.*?)</\1>', re.DOTALL)
_HELD_OUT, _VALIDATION = 0.06, 0.02
_MO_MAGIC = 0x950412DE

REPORTED = Path(__file__).parent / "held_out" / "sentences.tsv"
"""Pairs that qualities are reported on, under MPL-2.0; see the notice beside them."""

REPORTED_PAIRS = 1000

TRAINING, ABOUT = "training.tsv", "corpus.json"
"""Files that are written: the pairs to learn from, and last of all the packages with their versions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Three lists of pairs that share no page.

    Attributes:
        training: pairs to learn from.
        validation: pairs to compare checkpoints on.
        held_out: pairs to report on.
    """

    training: list[Pair]
    validation: list[Pair]
    held_out: list[Pair]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the packages, and write the corpus and its vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"), help="directory of all that is written")
    parser.add_argument("--vocabulary", type=int, default=vocabulary.SIZE, help="sub-words of the vocabulary")
    parser.add_argument("--report-on-these", action="store_true", help=f"choose {REPORTED.name} anew from held-out.tsv")
    options = parser.parse_args(arguments)
    root, versions = fetch(options.dir / "packages")
    never = [] if options.report_on_these else read(REPORTED)
    corpus = split([*help_pairs(root), *interface_pairs(root)], never)
    if options.report_on_these:
        write(REPORTED, chosen(corpus.held_out, corpus.training))
    parts = {"training": corpus.training, "validation": corpus.validation, "held-out": corpus.held_out}
    for name, pairs in parts.items():
        write(options.dir / f"{name}.tsv", pairs)
    vocabulary.train(corpus.training, options.dir / vocabulary.FILE, options.vocabulary)
    about = {"packages": versions, "pairs": {name: len(pairs) for name, pairs in parts.items()}}
    (options.dir / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for name, pairs in parts.items():
        words = sum(len(pair.english.split()) for pair in pairs)
        print(f"{name:10} {len(pairs):6} pairs {words:7} English words {len({p.file for p in pairs}):5} files")


def fetch(directory: Path) -> tuple[Path, dict[str, str]]:
    """Download and unpack the packages, unless they are there.

    Args:
        directory: directory for the archives and, below `root`, for what they hold.

    Returns:
        The root of the unpacked files, and each package's version.

    Raises:
        SupernetError: if apt or dpkg is missing, or can't get a package.
    """
    directory.mkdir(parents=True, exist_ok=True)
    root = directory / "root"
    versions = {}
    for package in PACKAGES:
        if not list(directory.glob(f"{package}_*.deb")):
            _run(["apt-get", "download", package], directory, f"package {package} can't be downloaded")
        archive = max(directory.glob(f"{package}_*.deb"))
        _run(["dpkg-deb", "--extract", str(archive.absolute()), str(root.absolute())], directory, f"{archive}")
        field = ["dpkg-deb", "--field", str(archive.absolute()), "Version"]
        versions[package] = _run(field, directory, f"{archive}").strip()
    return root, versions


def _run(command: Sequence[str], directory: Path, what: str) -> str:
    if shutil.which(command[0]) is None:
        raise SupernetError(f"{what}: this machine has no {command[0]!r}; build the corpus on Debian or Ubuntu")
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SupernetError(f"{what}: {' '.join(command[:2])} says {said!r}; try `apt-get update` first")
    return ended.stdout


def help_pairs(root: Path) -> Iterator[Pair]:
    """Yield the sentences of LibreOffice's help; paragraphs have the same name in both languages."""
    english, german = _paragraphs(root / _HELP / "en-US"), _paragraphs(root / _HELP / "de")
    for page, name in sorted(english.keys() & german.keys()):
        yield from sentences(page, english[page, name], german[page, name])


def _paragraphs(pages: Path) -> dict[tuple[str, str], str]:
    found = {}
    for page in sorted(pages.rglob("*.html")):
        text = page.read_text(encoding="utf-8", errors="replace")
        for match in _PARAGRAPH.finditer(text):
            found[str(page.relative_to(pages)), match[2]] = plain(match[3])
    return found


def interface_pairs(root: Path) -> Iterator[Pair]:
    """Yield the sentences of LibreOffice's interface."""
    for file in sorted((root / _INTERFACE).glob("*.mo")):
        for english, german in messages(file.read_bytes()):
            yield from sentences(f"interface/{file.stem}", without_shortcuts(english), without_shortcuts(german))


def messages(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the messages of a .mo file of GNU gettext, English and translated, without their contexts.

    Of a message with plural forms it is the singular. Format: the manual of gettext, "The Format of GNU MO Files".

    Raises:
        SupernetError: if it is no such file.
    """
    if len(data) < 20 or struct.unpack_from("<I", data)[0] != _MO_MAGIC:
        raise SupernetError("no little-endian .mo file of GNU gettext")
    _, _, count, originals, translations = struct.unpack_from("<5I", data)
    for index in range(count):
        texts = []
        for table in (originals, translations):
            length, start = struct.unpack_from("<2I", data, table + 8 * index)
            texts.append(data[start : start + length].decode("utf-8").split("\0")[0])
        english, german = texts[0].rpartition("\4")[2], texts[1]
        if english and german:
            yield english, german


def split(pairs: Sequence[Pair], never: Sequence[Pair] = ()) -> Corpus:
    """Return the clean pairs in three parts, by file; interface texts are learned from alone.

    Args:
        pairs: all pairs.
        never: pairs that must not be learned from, nor a sentence of theirs.
    """
    training: list[Pair] = []
    validation: list[Pair] = []
    held_out: list[Pair] = []
    for pair in pairs:
        part = 1.0 if pair.file.startswith("interface/") else share(pair.file, "split")
        if part >= _HELD_OUT + _VALIDATION:
            if clean(pair, LEARNED):
                training.append(pair)
        elif clean(pair, MEASURED):
            (held_out if part < _HELD_OUT else validation).append(pair)
    barred = {pair.english for pair in never} | {pair.german for pair in never}
    training = [pair for pair in unique(training) if not {pair.english, pair.german} & barred]
    learned = {pair.english for pair in training} | {pair.german for pair in training}
    fresh = [[p for p in unique(part) if not {p.english, p.german} & learned] for part in (validation, held_out)]
    return Corpus(training=training, validation=fresh[0], held_out=fresh[1])


def chosen(pairs: Sequence[Pair], learned: Sequence[Pair]) -> list[Pair]:
    """Return the pairs to report on, by chance but always the same ones, in the order of their files.

    Args:
        pairs: the pairs to choose from.
        learned: what is learned from; a pair with a character that is nowhere in it can't be translated.
    """
    known = set().union(*(pair.english + pair.german for pair in learned))
    pairs = [pair for pair in pairs if known.issuperset(pair.english + pair.german)]
    drawn = set(sorted(pairs, key=lambda pair: share(pair.english, "reported"))[:REPORTED_PAIRS])
    return [pair for pair in pairs if pair in drawn]


def write(path: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs, one a line: file, English and German, between tabs."""
    path.write_text("".join(f"{p.file}\t{p.english}\t{p.german}\n" for p in pairs), encoding="utf-8")


def read(path: Path) -> list[Pair]:
    """Return the pairs of a file.

    Raises:
        SupernetError: naming the line that holds no pair.
    """
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != 3:
            raise SupernetError(
                f"{path}, line {number}: {len(fields)} fields between tabs, not 3 (file, English, German)"
            )
        pairs.append(Pair(*fields))
    return pairs


if __name__ == "__main__":
    main()
