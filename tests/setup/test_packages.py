"""`.venv` from the locks with real venv, pip and uv: made, kept, made again, and what is said when it cannot be."""

import ast
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SETUP = sorted((REPOSITORY / "tools" / "setup").glob("*.py"))


def answer(root: Path) -> str:
    """Import the package of the lock with the clone's own Python."""
    code = "import little; print(little.ANSWER)"
    python = root / ".venv" / "bin" / "python"
    return subprocess.run(
        [python, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def forget(root: Path, name: str) -> None:
    """Make pip and uv believe that a package is not installed."""
    shutil.rmtree(next((root / ".venv" / "lib").glob(f"*/site-packages/{name}-1.0.dist-info")))


def test_a_fresh_clone_gets_its_packages_and_itself_whatever_the_user_has_set_for_python_and_pip(first_run):
    root = first_run.clone.root
    assert answer(root) == "42"
    listed = subprocess.run(
        [root / ".venv" / "bin" / "python", "-I", "-m", "pip", "list", "--format=json"],
        capture_output=True,
        check=True,
        env=first_run.clone.environment,
    )
    assert {"tiny", "little", "uv", "pip"} <= {package["name"] for package in json.loads(listed.stdout)}


def test_progress_off_a_terminal_is_plain_lines_without_control_characters(first_run):
    talk, folder = first_run.done.stderr, str(first_run.clone.home.parent)
    assert "\x1b" not in talk
    assert "\r" not in talk
    assert talk.splitlines()[0] == "terrace set-up"
    assert max(len(line) for line in talk.splitlines() if folder not in line) <= 100


def test_the_second_time_there_is_nothing_to_do_and_that_is_said_in_one_line_at_once(clone):
    clone.put_pulumi()
    assert clone.run().returncode == 0
    started = time.monotonic()
    again = clone.run()
    seconds = time.monotonic() - started
    assert again.returncode == 0
    assert again.stderr.splitlines() == [
        f"set-up: nothing to do (1 packages, engine v3.260.1 by path, {clone.root}/.local/engine/bin)"
    ]
    assert seconds < 5, (
        "it is well under a second; this bound only sees real work, on a machine that is busy too"
    )


def test_a_changed_lock_is_followed_without_a_new_venv(clone):
    clone.put_pulumi()
    witness = clone.root / ".venv" / "witness"
    witness.write_text("stays")
    forget(clone.root, "little")
    with (clone.root / "requirements" / "dev.txt").open("a") as lock:
        lock.write("# changed\n")
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert "packages" in done.stderr
    assert ".venv made" not in done.stderr
    assert witness.exists()
    assert answer(clone.root) == "42"


def test_a_changed_project_is_installed_again(clone):
    clone.put_pulumi()
    assert clone.run().returncode == 0
    pyproject = clone.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "\n[tool.ruff]\nline-length = 99\n")
    assert "nothing to do" in clone.run().stderr
    pyproject.write_text(pyproject.read_text() + "\n[project.scripts]\ntiny = 'tiny:main'\n")
    assert "installed editable" in clone.run().stderr


def test_a_venv_whose_python_has_gone_is_made_again(clone):
    clone.put_pulumi()
    for name in ("python", "python3"):
        (clone.root / ".venv" / "bin" / name).unlink()
        (clone.root / ".venv" / "bin" / name).symlink_to("/no/such/python")
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert ".venv made again: it had no Python, or one that has gone" in done.stderr
    assert answer(clone.root) == "42"


def test_a_venv_of_another_python_is_made_again(clone):
    clone.put_pulumi()
    state = clone.root / ".venv" / "terrace.json"
    made = json.loads(state.read_text())
    made["made"]["python"] = "3.4"
    state.write_text(json.dumps(made))
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert ".venv made again: it had Python 3.4" in done.stderr


def test_a_working_venv_that_somebody_else_made_is_taken_over_and_every_package_laid_down_again(clone):
    clone.put_pulumi()
    (clone.root / ".venv" / "terrace.json").unlink()
    next((clone.root / ".venv" / "lib").glob("*/site-packages/little.py")).unlink()
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert "taken over" in done.stderr
    assert answer(clone.root) == "42"


def test_a_file_where_the_venv_should_be_is_replaced(clone):
    clone.put_pulumi()
    shutil.rmtree(clone.root / ".venv")
    (clone.root / ".venv").write_text("not a folder")
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert answer(clone.root) == "42"


def test_a_package_that_is_not_the_locked_one_is_refused(clone):
    lock = clone.root / "requirements" / "dev.txt"
    lock.write_text("little==1.0 --hash=sha256:" + "0" * 64 + "\n")
    forget(clone.root, "little")
    clone.more["UV_CACHE_DIR"] = str(clone.home.parent / "empty-uv-cache")
    done = clone.run()
    assert done.returncode == 1
    assert "stopped at packages" in done.stderr
    assert "served a file whose checksum is not the locked one" in done.stderr
    assert "make setup` again" in done.stderr


@pytest.mark.parametrize(("name", "package"), [("uv.txt", "uv"), ("dev.txt", "little")])
def test_a_lock_without_hashes_is_refused(clone, name, package):
    (clone.root / "requirements" / name).write_text(f"{package}==1.0\n")
    forget(clone.root, package)
    done = clone.run()
    assert done.returncode == 1
    assert "--require-hashes" in done.stderr


def test_a_uv_that_is_not_the_locked_one_is_refused(clone):
    lock = clone.root / "requirements" / "uv.txt"
    lock.write_text("uv==1.0 --hash=sha256:" + "0" * 64 + "\n")
    (clone.root / ".venv" / "terrace.json").unlink()
    forget(clone.root, "uv")
    done = clone.run()
    assert done.returncode == 1
    assert "stopped at uv" in done.stderr
    assert "served a file whose checksum is not the locked one" in done.stderr


@pytest.mark.parametrize("program", ["pip", "uv"])
def test_without_a_route_to_the_package_index_the_error_says_so(clone, program):
    closed = "http://127.0.0.1:9/simple"
    forget(clone.root, "uv" if program == "pip" else "little")
    clone.more |= {
        "PIP_NO_INDEX": "0",
        "PIP_FIND_LINKS": "",
        "UV_OFFLINE": "0",
        "UV_NO_INDEX": "0",
        "UV_FIND_LINKS": "",
        "PIP_INDEX_URL": closed,
        "PIP_RETRIES": "0",
        "UV_DEFAULT_INDEX": closed,
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(clone.home.parent / "empty-uv-cache"),
    }
    name = "uv.txt" if program == "pip" else "dev.txt"
    with (clone.root / "requirements" / name).open("a") as lock:
        lock.write("# changed\n")
    done = clone.run()
    assert done.returncode == 1
    assert f"stopped at {'uv' if program == 'pip' else 'packages'}" in done.stderr
    assert "there is no route to the Python package index" in done.stderr
    assert "HTTPS_PROXY" in done.stderr


def test_a_project_file_that_cannot_be_read_is_named(clone):
    (clone.root / "requirements" / "dev.txt").unlink()
    done = clone.run()
    assert done.returncode == 1
    assert "requirements/dev.txt" in done.stderr
    assert "git status" in done.stderr


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_the_venv_module_is_told_which_package_to_install(bare, module):
    done = bare.run(f"import sys\nsys.modules['{module}'] = None\n")
    assert done.returncode == 1
    assert "stopped at python" in done.stderr
    assert f"lacks the module {module}" in done.stderr
    assert "venv" in done.stderr.splitlines()[-1]
    assert not (bare.root / ".venv").exists()


def test_a_python_that_is_too_old_is_told_so_in_words_and_not_by_a_traceback(tmp_path):
    code = (
        "import runpy, sys\n"
        "sys.version_info = (3, 9, 18, 'final', 0)\n"
        "runpy.run_module('tools.setup', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Python 3.9.18" in done.stderr
    assert "older than 3.11" in done.stderr
    assert "make setup PYTHON=" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_files_that_tell_an_old_python_so_can_be_read_by_one():
    for path in (
        REPOSITORY / "tools" / "__init__.py",
        *(REPOSITORY / "tools" / "setup" / f"__{name}__.py" for name in ("init", "main")),
    ):
        text = path.read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 6))
        assert ":=" not in text


def test_set_up_imports_nothing_but_the_standard_library_and_itself():
    foreign = {
        (path.name, name)
        for path in SETUP
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
        if not name.startswith("tools.setup")
        and name != "tools"
        and name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert len(SETUP) > 10
    assert foreign == set()
