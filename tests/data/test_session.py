"""A session that stays open: answers kept apart, large ones too; a failure says why and costs one session."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from infra.core.errors import TerraceError
from infra.host.box.data import session
from infra.host.box.data.ends import End

PSQL = f"""\
#!{sys.executable}
import os, sys
print("started", sys.argv[-1].split()[0], file=open(os.environ["LOG"], "a"))
for line in sys.stdin:
    word = line.strip()
    if word.startswith("\\\\echo "):
        print(word[6:], flush=True)
    elif word == "fail":
        sys.stderr.write("ERROR:  division by zero\\n")
        sys.exit(3)
    elif word != ";":
        sys.stdout.write(line)
"""
"""Says what it is asked."""


@pytest.fixture
def end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[End]:
    """A database whose psql is ours."""
    psql = tmp_path / "psql"
    psql.write_text(PSQL, encoding="utf-8")
    psql.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    made = End(
        "rds", ("-h", "db"), {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    yield made
    for each in made.sessions.values():
        each.close()


def test_one_program_answers_many_queries_each_with_its_own_answer(end: End, tmp_path: Path) -> None:
    assert [end.sql("one"), end.sql("two\nthree;"), end.sql("four", database="app")] == [
        "one",
        "two\nthree",
        "four",
    ]
    assert (tmp_path / "log").read_text() == "started dbname=postgres\nstarted dbname=app\n"


def test_an_interrupt_at_a_terminal_is_not_the_sessions(end: End) -> None:
    end.sql("one")
    assert os.getpgid(end.sessions["postgres"]._process.pid) != os.getpgid(0)


def test_a_question_and_an_answer_larger_than_a_pipe_do_not_wait_for_each_other(end: End) -> None:
    asked = "\n".join(f"line {number}" for number in range(40_000))
    assert end.sql(asked) == asked


def test_a_query_that_was_interrupted_does_not_answer_the_next_one(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Thread):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(session.threading, "Thread", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            end.sql("one")
    assert end.sql("two") == "two"


def test_a_failure_says_why_and_the_next_query_has_a_session_of_its_own(end: End, tmp_path: Path) -> None:
    with pytest.raises(TerraceError, match=r"rds: psql +ended with 3: ERROR:  division by zero"):
        end.sql("one\nfail\ntwo")
    assert end.sql("three") == "three"
    assert (tmp_path / "log").read_text().count("started") == 2
