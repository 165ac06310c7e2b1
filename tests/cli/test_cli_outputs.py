"""Where the command line writes, and what it does with links, pipes, devices, modes, names and half-written files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastem
from fastem import Checkpoint, GaussianMixture, _replacing
from fastem._replacing import OutputError, discard_unfinished, replacing, same_place
from fastem.persistence import ModelFileError
from tests.cli.test_cli import FAITHFUL, fail, succeed


@pytest.fixture(scope="module")
def mixture():
    return GaussianMixture.from_parameters([0.4, 0.6], [[2.0, 54.0], [4.0, 80.0]], [np.eye(2), np.eye(2)])


@pytest.fixture
def model(mixture, tmp_path):
    path = tmp_path / "given.npz"
    mixture.save(path)
    return path


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# Modes and links.


def test_a_link_is_followed_and_its_target_replaced(mixture, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    real, link, chain = folder / "real.npz", tmp_path / "link.npz", tmp_path / "chain.npz"
    real.write_bytes(b"")
    link.symlink_to("elsewhere/real.npz")
    chain.symlink_to(link)
    inode = real.stat().st_ino
    mixture.save(chain)
    assert chain.is_symlink()
    assert link.is_symlink()
    assert real.stat().st_ino != inode
    assert fastem.load(real).n_components == 2
    assert [file.name for file in folder.iterdir()] == ["real.npz"]


def test_a_link_to_nothing_makes_its_target(mixture, tmp_path):
    (tmp_path / "link.npz").symlink_to("later.npz")
    mixture.save(tmp_path / "link.npz")
    assert fastem.load(tmp_path / "later.npz").n_components == 2
    assert (tmp_path / "link.npz").is_symlink()


def test_a_ring_of_links_is_told(mixture, tmp_path):
    (tmp_path / "a.npz").symlink_to("b.npz")
    (tmp_path / "b.npz").symlink_to("a.npz")
    with pytest.raises(OutputError, match=r"Cannot write .*a\.npz: too many levels"):
        mixture.save(tmp_path / "a.npz")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_who_may_read_a_file_stays_as_it_was(model, mixture, tmp_path, mode):
    path = tmp_path / "private.npz"
    path.write_bytes(b"")
    path.chmod(mode)
    mixture.save(path)
    assert mode_of(path) == mode
    output = tmp_path / "labels.csv"
    output.write_text("old")
    output.chmod(mode)
    succeed("predict", model, FAITHFUL, "--output", output)
    assert mode_of(output) == mode


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(mixture, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        mixture.save(tmp_path / "new.npz")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new.npz") == mode


def test_a_private_file_is_private_while_it_is_written(tmp_path):
    path = tmp_path / "private.npz"
    path.write_bytes(b"")
    path.chmod(0o600)
    with replacing(path) as file:
        (part,) = tmp_path.glob(".*.part")
        assert mode_of(part) == 0o600
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_all_names_of_a_file_have_what_is_written(mixture, tmp_path):
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    one.write_bytes(b"x" * 100_000)
    os.link(one, other)
    mixture.save(one)
    assert one.samefile(other)
    assert fastem.load(other).n_components == 2


# Pipes and devices.


def test_a_pipe_is_written_into(mixture, model, tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    def read_all():
        while block := os.read(reader, 2**16):
            read.append(block)

    mixture.save(pipe)
    thread = threading.Thread(target=read_all)
    thread.start()
    thread.join()
    copy = tmp_path / "copy.npz"
    copy.write_bytes(b"".join(read))
    assert fastem.load(copy).n_components == 2
    os.close(reader)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_pipe_that_nobody_reads_is_refused(mixture, tmp_path, model):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="nobody reads this pipe"):
        mixture.save(pipe)
    assert "nobody reads this pipe" in fail("predict", model, FAITHFUL, "--output", pipe)
    assert "nobody reads this pipe" in fail("fit", FAITHFUL, "-k", 1, "--output", pipe)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_the_null_device_stays(mixture, model):
    mixture.save(os.devnull)
    succeed("predict", model, FAITHFUL, "--output", os.devnull)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no device that is always full")
def test_a_disk_that_is_full_is_told_by_the_name_of_the_file(mixture, model):
    with pytest.raises(OSError, match="/dev/full"):
        mixture.save("/dev/full")
    assert fail("predict", model, FAITHFUL, "--output", "/dev/full") == "error: /dev/full: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="has no name for the standard output")
@pytest.mark.parametrize("is_file", [False, True])
def test_the_standard_output_is_refused(tmp_path, model, is_file):
    command = [sys.executable, "-m", "fastem", "predict", str(model), str(FAITHFUL), "--output", "/dev/stdout"]
    with open(tmp_path / "printed", "wb") as file:
        done = subprocess.run(
            command, stdout=file if is_file else subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "Cannot write /dev/stdout: other things are printed there" in done.stderr


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="has no names for open files")
def test_an_open_file_is_written_into(mixture, tmp_path):
    path = tmp_path / "open.npz"
    with open(path, "wb") as file:
        inode = os.fstat(file.fileno()).st_ino
        mixture.save(f"/dev/fd/{file.fileno()}")
    assert path.stat().st_ino == inode
    assert fastem.load(path).n_components == 2


# What is refused before any work.


@pytest.fixture
def no_work(monkeypatch):
    monkeypatch.setattr(GaussianMixture, "fit", lambda *_, **__: pytest.fail("fitted"))
    monkeypatch.setattr(fastem, "select", lambda *_, **__: pytest.fail("selected"))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", FAITHFUL, "-k", 2, "--output", "a.png", "--plot", "a.png"), "--output and --plot are one file, a.png"),
        (("fit", FAITHFUL, "-k", 2, "--output", "a.npz", "--checkpoint", "./a.npz"), "--output and --checkpoint are"),
        (("fit", FAITHFUL, "-k", 2, "--plot", "a.png", "--checkpoint", "link.png"), "--plot and --checkpoint are one"),
        (("select", FAITHFUL, "--output", "a.npz", "--plot", "a.npz"), "--output and --plot are one file"),
        (("fit", FAITHFUL, "-k", 2, "--output", "model.csv"), "models are .npz files, not .csv. Name it model.npz"),
        (("select", FAITHFUL, "--output", "model.parquet"), "models are .npz files, not .parquet"),
        (("fit", FAITHFUL, "-k", 2, "--plot", "fit.xyz"), "Cannot draw fit.xyz: its name must end in one of"),
        (("select", FAITHFUL, "--plot", "fit"), "Cannot draw fit: its name must end in one of"),
        (("predict", "given.npz", FAITHFUL, "-o", "x.foo"), "written as .foo. Its name must end in one of .csv"),
        (("predict", "given.npz", FAITHFUL, "-o", "x.npy.gz"), "rows are not written as .gz"),
        (("sample", "given.npz", "-n", 2, "-o", "x.tsv"), "rows are not written as .tsv"),
        (("sample", "given.npz", "-n", 2, "-o", "given.npz"), "it would overwrite an input"),
        (("fit", "rows.csv", "-k", 2, "--checkpoint", "rows.csv"), "it would overwrite an input"),
        (("fit", "*.csv", "-k", 2, "--checkpoint", "rows.csv"), "it would overwrite an input"),
        (("predict", "given.npz", "folder", "-o", "folder/part.csv"), "it would overwrite an input"),
        (("fit", FAITHFUL, "-k", 2, "--output", "folder"), "it is a directory"),
        (("fit", FAITHFUL, "-k", 2, "--plot", "none/a.png"), "there is no directory none"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_before_any_work(arguments, words, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "folder").mkdir()
    for name in ("rows.csv", "folder/part.csv"):
        (tmp_path / name).write_bytes(FAITHFUL.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    assert words in fail(*arguments)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("no_work")
def test_a_file_in_a_folder_where_none_can_be_made_is_refused(tmp_path, monkeypatch):
    path, allowed = tmp_path / "model.npz", os.access
    path.write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda name, mode: str(name) != str(tmp_path) and allowed(name, mode))
    assert "permission denied" in fail("fit", FAITHFUL, "-k", 2, "--output", path)


def test_python_refuses_the_same(mixture, tmp_path):
    with pytest.raises(ValueError, match=r"models are \.npz files, not \.csv"):
        mixture.save(tmp_path / "model.csv")
    with pytest.raises(ValueError, match="it is a directory"):
        mixture.save(tmp_path)
    with pytest.raises(ValueError, match="there is no directory"):
        mixture.save(tmp_path / "none" / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_takes_no_place_of_data(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    path = tmp_path / "rows.npy"
    np.save(path, X)
    before = path.read_bytes()
    for fit in (GaussianMixture.fit, GaussianMixture.partial_fit):
        with pytest.raises(ModelFileError, match=r"rows\.npy is not a model file of fastem, and no checkpoint"):
            fit(GaussianMixture(2, checkpoint=Checkpoint(path, every=0.0)), path)
    assert path.read_bytes() == before


# Half-written files.


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".npy", ".parquet"])
def test_an_error_leaves_no_half_of_a_file(tmp_path, model, monkeypatch, suffix):
    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    output = tmp_path / f"labels{suffix}"
    assert fail("predict", model, FAITHFUL, "--output", output) == f"error: {output}: No space left on device\n"
    assert [path.name for path in tmp_path.iterdir()] == [model.name]


def test_a_picture_that_fails_leaves_no_half_of_it(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def fails(figure, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fails)
    assert "No space left" in fail("fit", FAITHFUL, "-k", 1, "--plot", tmp_path / "fit.png")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    script = (
        "import os, signal, sys; from fastem._replacing import replacing\n"
        "with replacing(sys.argv[1]) as file: file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "model[1].npz"
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    # That of another file stays, and that of a process at work.
    (tmp_path / ".other.npz.0123abcd.part").write_bytes(b"")
    with replacing(path) as first:
        first.write(b"first")
        with replacing(path) as second:
            second.write(b"second")
            assert len(list(tmp_path.iterdir())) == 3
    assert path.read_bytes() == b"first"
    assert sorted(file.name for file in tmp_path.iterdir()) == [".other.npz.0123abcd.part", path.name]


def test_unfinished_files_can_be_discarded_at_once(tmp_path):
    writing = replacing(tmp_path / "a.npz")
    writing.__enter__().write(b"half")
    assert len(list(tmp_path.iterdir())) == 1
    discard_unfinished()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No such file"):
        writing.__exit__(None, None, None)
    assert _replacing._unfinished == set()


def test_places_are_compared_by_where_links_lead(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "later").symlink_to("b")
    assert same_place(tmp_path / "a", tmp_path / "link")
    assert same_place(tmp_path / "later", tmp_path / "b")
    assert not same_place(tmp_path / "a", tmp_path / "b")
    assert not same_place(os.devnull, os.devnull)
