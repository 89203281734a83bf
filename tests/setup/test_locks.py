"""`make lock`: what it writes, what it leaves as it was, and that a failure costs nothing."""

import pytest

LOCKS = ("uv.txt", "audit.txt", "dev.txt", "runtime.txt")


@pytest.fixture
def lockable(clone):
    (clone.root / "requirements" / "uv.in").write_text("uv==1.0\n")
    (clone.root / "requirements" / "audit.in").write_text("little==1.0\n")
    return clone


def locks_of(clone) -> dict[str, str]:
    return {name: (clone.root / "requirements" / name).read_text() for name in LOCKS}


def test_the_locks_are_made_from_what_asks_for_them_with_hashes_and_without_addresses(lockable):
    done = lockable.run("", "lock")
    assert done.returncode == 0, done.stderr
    locks = locks_of(lockable)
    for name, source in zip(
        LOCKS,
        ["requirements/uv.in", "requirements/audit.in", "pyproject.toml", "pyproject.toml"],
        strict=True,
    ):
        assert locks[name].splitlines()[0] == f"# Made by `make lock` from {source}: change that, not this."
        assert "--hash=sha256:" in locks[name]
        assert "://" not in locks[name]
        assert str(lockable.wheels) not in locks[name]
    assert [[line.split()[0] for line in text.splitlines() if "==" in line] for text in locks.values()] == [
        ["uv==1.0"],
        ["little==1.0"],
        ["little==1.0", "uv==1.0"],
        ["little==1.0"],
    ]


def test_locks_that_are_up_to_date_are_not_written(lockable):
    assert lockable.run("", "lock").returncode == 0
    before = [(lockable.root / "requirements" / name).stat().st_mtime_ns for name in LOCKS]
    done = lockable.run("", "lock")
    assert done.returncode == 0
    assert done.stderr.count("as it was") == 4
    assert [(lockable.root / "requirements" / name).stat().st_mtime_ns for name in LOCKS] == before


def test_a_dependency_that_cannot_be_had_is_named_and_its_lock_stays_as_it_was(lockable):
    assert lockable.run("", "lock").returncode == 0
    before = locks_of(lockable)
    pyproject = lockable.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('["little"]', '["little>=2"]'))
    done = lockable.run("", "lock")
    assert done.returncode == 1
    assert "stopped at lock" in done.stderr
    assert "does not offer versions that fit" in done.stderr
    assert "little>=2" in done.stderr
    assert locks_of(lockable) == before


def test_a_new_lock_is_followed_by_the_next_set_up(lockable):
    lockable.put_pulumi()
    assert lockable.run("", "lock").returncode == 0
    done = lockable.run()
    assert done.returncode == 0, done.stderr
    assert "packages    2 from requirements/dev.txt" in done.stderr
