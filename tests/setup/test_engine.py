"""What the rest of the project reads of the engine: the record, and the environment that the engine runs in."""

import os
import subprocess
from pathlib import Path

import pytest

from tools.setup.engine import Engine, Way, engine_environment, read_engine, record_path, write_engine
from tools.setup.errors import SetupError

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "engine" / "bin"
    folder.mkdir(parents=True)
    for name in ("pulumi", "pulumi-language-python"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    write_engine(tmp_path, Engine(Way.BUILD, "3.259.0", folder, "3.78.0", "key"))
    return tmp_path


def test_the_record_is_read_as_it_was_written(root):
    assert read_engine(root) == Engine(Way.BUILD, "3.259.0", root / "engine" / "bin", "3.78.0", "key")


def test_without_a_record_the_remedy_is_make_setup(tmp_path):
    with pytest.raises(SetupError, match=r"engine\.json is missing") as caught:
        read_engine(tmp_path)
    assert caught.value.remedy == "run `make setup`"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "way": "magic", "bin": "/"}',
        '{"format": 1, "way": "path"}',
        "\udcff",
    ],
)
def test_a_record_that_cannot_be_used_is_named_with_its_path_and_no_traceback_of_ours(root, text):
    record_path(root).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SetupError, match="cannot be used") as caught:
        read_engine(root)
    assert str(record_path(root)) in caught.value.cause
    assert "make setup" in caught.value.remedy


def test_an_engine_that_has_gone_is_named_with_its_folder(root):
    (root / "engine" / "bin" / "pulumi").unlink()
    with pytest.raises(SetupError, match=r"no longer in .*engine/bin"):
        read_engine(root)


def test_the_environment_has_the_venv_first_then_the_engine_then_what_was_there(root):
    path = engine_environment(root, {"PATH": f"/usr/bin:{root}/engine/bin:/bin"})["PATH"]
    assert path.split(os.pathsep) == [f"{root}/.venv/bin", f"{root}/engine/bin", "/usr/bin", "/bin"]


def test_a_user_who_is_logged_in_elsewhere_does_not_reach_in(root):
    elsewhere = {
        "PULUMI_ACCESS_TOKEN": "pul-1",
        "PULUMI_BACKEND_URL": "https://elsewhere.invalid",
        "PULUMI_HOME": "/home/user/.pulumi",
        "PYTHONHOME": "/x",
        "LANG": "C",
    }
    environment = engine_environment(root, elsewhere)
    assert {name: value for name, value in environment.items() if name.startswith("PULUMI_")} == {
        "PULUMI_HOME": f"{root}/.local/pulumi-home",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_ERROR_OUTPUT_STRING": "true",
    }
    assert environment["LANG"] == "C"
    assert "PYTHONHOME" not in environment


def test_a_caller_may_keep_the_variables_of_the_user_but_never_the_home(root):
    environment = engine_environment(
        root, {"PULUMI_ACCESS_TOKEN": "pul-1", "PULUMI_HOME": "/x"}, keep_pulumi=True
    )
    assert environment["PULUMI_ACCESS_TOKEN"] == "pul-1"
    assert environment["PULUMI_HOME"] == f"{root}/.local/pulumi-home"


@pytest.mark.engine
def test_the_real_engine_runs_in_that_environment_and_leaves_the_home_of_the_user_alone(tmp_path):
    home = tmp_path / "home"
    (home / ".pulumi").mkdir(parents=True)
    (home / ".pulumi" / "credentials.json").write_text('{"current": "https://elsewhere.invalid"}')
    state = tmp_path / "state"
    state.mkdir()
    environment = engine_environment(
        REPOSITORY, {**os.environ, "HOME": str(home), "PULUMI_BACKEND_URL": "https://x.invalid"}
    )
    environment |= {"PULUMI_BACKEND_URL": state.as_uri(), "PULUMI_HOME": str(tmp_path / "pulumi-home")}
    done = subprocess.run(
        ["pulumi", "whoami", "--verbose", "--non-interactive"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert state.as_uri() in done.stdout
    assert [str(path.relative_to(home)) for path in sorted(home.rglob("*"))] == [
        ".pulumi",
        ".pulumi/credentials.json",
    ]
