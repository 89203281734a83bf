"""Arrows go one way, and importing anything creates nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Who may import whom, by the first parts of a module's name; what is not named here is a library.
ALLOWED: dict[str, tuple[str, ...]] = {
    "infra.core": ("infra.core",),
    "infra.settings": ("infra.core", "infra.settings"),
    "infra.clients": ("infra.core", "infra.clients"),
    "infra.host": ("infra.core", "infra.host"),
    "infra.host.box.gpu": ("infra.core", "infra.clients", "infra.host"),
    "infra.components": ("infra.core", "infra.settings", "infra.clients", "infra.host", "infra.components"),
    "infra.options": ("infra.core", "infra.settings", "infra.host", "infra.components", "infra.options"),
    "infra.policy": ("infra.core", "infra.settings", "infra.policy"),
    "infra.__main__": ("infra.core", "infra.settings", "infra.options"),
    "infra": (),
    "ops.adapters": ("ops", "infra.core", "infra.clients", "infra.settings", "infra.host", "tools"),
    "ops.policy": ("ops", "infra.core", "infra.settings", "infra.policy"),
    "ops.adapters.gpu": ("ops", "infra.core", "infra.clients", "infra.host.box.gpu"),
    "ops.adapters.recorded": ("infra.core", "infra.settings", "infra.options"),
    "ops.gpu": ("ops", "infra.core", "infra.clients", "infra.settings", "infra.host.box.gpu"),
    "ops": ("ops", "infra.core", "infra.settings"),
    "embedded": ("embedded", "infra.core", "tools"),
    "tools": ("tools",),
}
EMBEDDED_USERS = ("scripts/local.py", "scripts/demo.py", "scripts/climb_drill.py", "scripts/climb_served.py")
OURS = ("infra", "ops", "embedded", "tools", "scripts")
FORBIDDEN_IN_CORE = ("pulumi", "pulumi_aws", "boto3", "botocore")


def sources() -> Iterator[tuple[str, Path]]:
    for room in ("infra", "ops", "embedded", "tools"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if ".venv" not in path.parts and "sample" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def test_every_arrow_points_one_way() -> None:
    wrong = []
    for module, path in sources():
        room = max((each for each in ALLOWED if under(module, each)), key=len)
        for name in imported(path):
            if name.split(".")[0] in OURS and not any(under(name, each) for each in ALLOWED[room]):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_the_core_imports_neither_pulumi_nor_boto3() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in sources()
        if under(module, "infra.core")
        for name in imported(path)
        if name.split(".")[0] in FORBIDDEN_IN_CORE
    ]
    assert wrong == []


def test_only_the_local_and_demo_scripts_know_the_embedded_cloud() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "scripts").glob("*.py"))
        if str(path.relative_to(ROOT)) not in EMBEDDED_USERS
        and any(under(name, "embedded") for name in imported(path))
    ]
    assert wrong == []


def test_no_script_bears_the_name_of_a_package_that_python_would_then_miss() -> None:
    names = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert names.isdisjoint({*sys.stdlib_module_names, "pulumi", "boto3", "rich", "typer", "yaml", "runpod"})


def test_the_program_is_under_twenty_lines() -> None:
    assert len((ROOT / "infra" / "__main__.py").read_text(encoding="utf-8").splitlines()) <= 20


def test_the_gpu_workers_folder_does_not_hide_the_library_of_its_name() -> None:
    assert not (ROOT / "runpod" / "__init__.py").exists()


IMPORT_ALL = """
import importlib, socket, sys
def refuse(*_, **__):
    raise AssertionError("importing a module opened a socket")
socket.socket.connect = refuse
socket.socket.bind = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_importing_any_module_needs_no_network_and_no_credentials(tmp_path: Path) -> None:
    modules = [module for module, _ in sources() if not module.endswith("__main__")]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *modules],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", ["infra", "ops", "embedded", "tools"])
def test_every_module_says_what_it_is_for(room: str) -> None:
    silent = [
        module
        for module, path in sources()
        if module.split(".")[0] == room and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []
