"""The published history is made of its numbers, and measures only what it does not know."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import history, interleaved
from benchmarks.history import Landed

PUBLISHED = json.loads((history.PAGE / "history.json").read_text(encoding="utf-8"))


def test_the_page_is_made_of_the_numbers():
    assert (history.PAGE / "README.md").read_text(encoding="utf-8") == history.page(PUBLISHED)


def test_the_picture_has_a_curve_for_each_benchmark_and_names_each_commit():
    text = (history.PAGE / "history.svg").read_text(encoding="utf-8")
    drawn = {element.text for element in ElementTree.fromstring(text).iter() if element.text}
    assert set(history.MEASURED) <= drawn
    assert {entry["commit"][:7] for entry in history.steps(PUBLISHED)} <= drawn


def test_the_picture_is_drawn_alike_twice(tmp_path):
    for name in ("a.svg", "b.svg"):
        history.draw(PUBLISHED, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_every_landed_change_is_told_and_the_first_is_the_measure():
    commits = PUBLISHED["commits"]
    assert commits[0]["commit"] == PUBLISHED["reference"]
    # Against itself: what is left is noise.
    assert all(ratio == pytest.approx(1.0, abs=0.15) for ratio in commits[0]["times_faster"].values())
    assert set(commits[-1]["times_faster"]) == set(history.MEASURED)


def test_no_names_of_machines_or_paths():
    text = json.dumps(PUBLISHED)
    assert "/home" not in text
    assert "/work" not in text
    assert set(PUBLISHED["machine"]) == {"processor", "cores", "threads", "python", "fastem", "numba", "numpy"}


def test_equal_packages_are_measured_once_and_known_ones_not_at_all(monkeypatch):
    commits = [Landed(name, "2026-01-01", name, tree) for name, tree in zip("abcde", "xxyyz", strict=True)]
    measured = []

    def measure(reference, home, seconds):
        measured.append(home)
        return {"times_faster": {"fit": float(len(measured))}, "counts": {}}

    monkeypatch.setattr(history, "measured", measure)
    monkeypatch.setattr(history, "turned_into", lambda home, revision: revision)
    monkeypatch.setattr(interleaved, "checked_out", lambda revision: revision)
    *_, first = history.with_new_commits({}, commits[:3], 0.0)
    assert measured == ["a", "c"]
    *_, second = history.with_new_commits(first, commits, 0.0)
    assert measured == ["a", "c", "e"]
    # Whatever ends a run, what was known stays.
    assert [len(each["commits"]) for each in history.with_new_commits(first, commits, 0.0)] == [5]
    assert [entry["times_faster"]["fit"] for entry in second["commits"]] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert [entry["commit"] for entry in history.steps(second)] == ["a", "c", "e"]


def test_kernels_stay_for_as_long_as_their_sources(monkeypatch, tmp_path):
    packages = {
        "first": {"passes/row_pass.py": "1", "cli/fit.py": "1"},
        "second": {"passes/row_pass.py": "1", "sources/csv.py": "1"},
        "third": {"passes/row_pass.py": "2", "sources/csv.py": "1"},
    }
    for revision, files in packages.items():
        for name, text in files.items():
            path = tmp_path / revision / "fastem" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    monkeypatch.setattr(interleaved, "checked_out", lambda revision: tmp_path / revision)
    home = tmp_path / "home"
    kept = []
    for revision, files in packages.items():
        history.turned_into(home, revision)
        package = home / "fastem"
        assert {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")} == files
        kept.append((home / "kernels").exists())
        (home / "kernels").mkdir(exist_ok=True)
    assert kept == [False, True, False]
