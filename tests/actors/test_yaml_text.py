"""YAML is read strictly: repeated keys, aliases that stand for too much, and whatever PyYAML trips over are refused."""

from pathlib import Path

import pytest

from actors.yaml_text import MOST_BYTES, YamlError, read_yaml

# Nine levels of nine aliases each: 400 bytes that stand for 387 million values.
BOMB = "l0: &l0 [x]\n" + "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: 1\nb: {a: 2, c: [1, 2]}\n", {"a": 1, "b": {"a": 2, "c": [1, 2]}}),
        ("\ufeffa: 1\r\n", {"a": 1}),
        ("a: &clocks [1, 2]\nb: *clocks\n", {"a": [1, 2], "b": [1, 2]}),
        ("a: &unit {x: 1}\nb: {<<: *unit, y: 2}\n", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        ("", None),
        ("# nothing\n", None),
    ],
)
def test_what_people_write_is_read(tmp_path: Path, text: str, content: object) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    assert read_yaml(file) == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"repeats the key 'a' in line 3\. Keep one of them"),
        ("units:\n- {name: a, mhz: [1], mhz: [2]}\n", r"repeats the key 'mhz' in line 2"),
        (BOMB, r"aliases that stand for more than 20,000 values, from line 6 on"),
        ("a: &a [*a]\n", r"alias in line 1 that holds itself"),
        ("a: &a {b: *a}\n", r"alias in line 1 that holds itself"),
        ("a: !!int x\n", r"is not YAML"),
        ("a: !!bool x\n", r"is not YAML"),
        ("a: !!timestamp x\n", r"is not YAML"),
        ("a: !!python/object:os.system {}\n", r"is not YAML in line 1"),
        ("a: 2001-99-99\n", r"is not YAML"),
        ("a: [\n", r"is not YAML in line 2"),
        ("[" * 20_000, r"is not YAML"),
        ("a: " + "1:" * 3000 + "1\n", r"has a value of more than 5,000 characters in line 1"),
        ("a: 1\n---\nb: 2\n", r"is not YAML in line 2"),
        ("\x00", r"is not text"),
        ("#" * (MOST_BYTES + 1), r"more than 200,000 bytes"),
    ],
)
def test_all_else_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(YamlError, match=message) as error:
        read_yaml(file)
    assert len(str(error.value)) < 300
