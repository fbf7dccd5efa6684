"""The cache is where the user says; where it can't be written to, a stand-in shows what it holds."""

from __future__ import annotations

import os
from pathlib import Path

from actors.paths import cache_dir
from helpers.name_spaces import run_apart


def test_the_cache_is_made_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache_dir() == tmp_path / "deep" / "cache"
    assert not any(cache_dir().iterdir())
    monkeypatch.delenv("GEARSHIFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "gearshift"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "gearshift"


def test_a_cache_that_can_t_be_made_has_a_stand_in(monkeypatch, caplog):
    monkeypatch.setenv("GEARSHIFT_CACHE", "/proc/nowhere")
    stand_in = cache_dir()
    (stand_in / "exported").mkdir()
    assert cache_dir() == stand_in
    assert stand_in.parent.stat().st_mode & 0o777 == 0o700
    (said,) = [record.getMessage() for record in caplog.records]
    assert "the cache /proc/nowhere can't be written to (No such file or directory)" in said
    assert "GEARSHIFT_CACHE" in said


def test_what_a_read_only_cache_holds_is_found(tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "one.json").write_text("one")
    code = f"""
        import os
        os.environ["GEARSHIFT_CACHE"] = {str(tmp_path)!r}
        from actors.paths import cache_dir
        kept = cache_dir() / "profiles"
        (kept / "two.json").write_text("two")
        (kept / "new").write_text("changed")
        (kept / "new").replace(kept / "one.json")
        print((kept / "one.json").read_text(), sorted(os.listdir(kept)), cache_dir().parent)
    """
    said = run_apart(["-m"], code, before=f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path}")
    kept, names, place = said.partition(" ")[0], said[said.index("[") : said.index("]") + 1], Path(said.split()[-1])
    assert (kept, names) == ("changed", "['one.json', 'two.json']")
    assert (tmp_path / "profiles" / "one.json").read_text() == "one"
    assert os.listdir(tmp_path / "profiles") == ["one.json"]
    assert not place.exists()
