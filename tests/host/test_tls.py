"""The pair that Nginx shows: whatever moment the power goes, certificate and key belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.host.box import tls

OLD, NEW = ("old chain\n", "old key\n"), ("new chain\n", "new key\n")


def shown(where: Path) -> tuple[str, str]:
    return (where / tls.CHAIN).read_text(encoding="ascii"), (where / tls.KEY).read_text(encoding="ascii")


class PowerCutError(Exception):
    """The moment at which nothing more is done."""


def cut_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `moment`-th rename is the first that does not happen."""
    renames, rename = [0], Path.replace

    def counted(path: Path, target: Path) -> Path:
        renames[0] += 1
        if renames[0] == moment:
            raise PowerCutError
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", counted)


@pytest.mark.parametrize("two_files_of_an_earlier_bundle", [False, True])
def test_a_change_that_is_cut_off_anywhere_shows_one_pair_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, two_files_of_an_earlier_bundle: bool
) -> None:
    seen, moment = set(), 0
    while True:
        moment += 1
        where = tmp_path / str(moment)
        where.mkdir(mode=0o700)
        if two_files_of_an_earlier_bundle:
            (where / tls.CHAIN).write_text(OLD[0], encoding="ascii")
            (where / tls.KEY).write_text(OLD[1], encoding="ascii")
        else:
            tls.show(*OLD, where)
        with monkeypatch.context() as patched:
            cut_at(moment, patched)
            try:
                tls.show(*NEW, where)
                through = True
            except PowerCutError:
                through = False
        assert shown(where) in (OLD, NEW)
        seen.add(shown(where))
        tls.show(*NEW, where)
        assert shown(where) == NEW
        if through:
            break
    assert seen == {OLD, NEW}
    assert moment > 3


def test_the_key_is_the_owners_alone_and_former_pairs_are_gone(tmp_path: Path) -> None:
    assert tls.show(*OLD, tmp_path)
    assert tls.show(*NEW, tmp_path)
    assert not tls.show(*NEW, tmp_path)
    pairs = [each for each in tmp_path.iterdir() if each.is_dir() and not each.is_symlink()]
    assert len(pairs) == 1
    assert (tmp_path / tls.KEY).stat().st_mode & 0o777 == 0o600


def test_half_a_pair_is_none(tmp_path: Path) -> None:
    (tmp_path / tls.CHAIN).write_text("alone\n", encoding="ascii")
    assert not tls.held(tmp_path)
