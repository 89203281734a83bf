"""What is done once for an account: repeated safely, refused clearly, and no value of a secret shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra.core.errors import TerraceError
from ops import stackfile

from .conftest import Clone
from .test_local_cloud import python, shell, start

pytestmark = pytest.mark.engine
SENTINEL = "sentinel-93c1-value"


def account(clone: Clone, line: str, given: str = "") -> tuple[int, str]:
    done = shell(clone, f"printf %s '{given}' | scripts/account.py {line}")
    return done.returncode, done.stdout + done.stderr


def test_init_prepares_an_account_once_and_says_what_stood_already(clone: Clone) -> None:
    start(clone)
    code, first = account(clone, "init --yes")
    assert code == 0, first
    assert "bucket terrace-state-123456789012: made" in first
    assert "pulumi login 's3://terrace-state-123456789012?region=ap-northeast-2'" in first
    code, second = account(clone, "init --yes")
    assert code == 0
    assert second.count("stood already") == 4
    content = yaml.safe_load((clone.root / "Pulumi.prod.yaml").read_text())
    assert content["secretsprovider"] == "awskms://alias/terrace-state-prod?region=ap-northeast-2"
    bucket = "Bucket='terrace-state-123456789012'"
    assert python(clone, f"boto3.client('s3').get_bucket_versioning({bucket})['Status']") == "Enabled"
    assert "aws:kms" in python(
        clone, f"boto3.client('s3').get_bucket_encryption({bucket})['ServerSideEncryptionConfiguration']"
    )


def test_env_leaves_the_embedded_cloud_and_keeps_a_users_own_credentials(standing: Clone) -> None:
    done = shell(
        standing,
        'eval "$(scripts/local.py env)"; export AWS_ACCESS_KEY_ID=mine; eval "$(scripts/account.py env)"; env',
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    local = {
        name: value
        for name, value in standing.cloud.variables().items()
        if not name.startswith("AWS_") or name == "AWS_ENDPOINT_URL"
    }
    left = {name for name, value in local.items() if found.get(name) == value}
    assert left == {"PULUMI_HOME", "PULUMI_SKIP_UPDATE_CHECK", "PULUMI_ERROR_OUTPUT_STRING"}
    assert found["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "false"
    assert found["AWS_ACCESS_KEY_ID"] == "mine"
    assert found["PATH"].startswith(f"{standing.root}/.venv/bin:")


def test_env_forgets_the_embedded_clouds_credentials(standing: Clone) -> None:
    done = shell(standing, 'eval "$(scripts/local.py env)"; eval "$(scripts/account.py env)"; env')
    assert "AWS_ACCESS_KEY_ID" not in done.stdout
    assert "AWS_SECRET_ACCESS_KEY" not in done.stdout


def test_init_without_a_yes_changes_nothing(standing: Clone) -> None:
    before = (standing.root / "Pulumi.prod.yaml").read_text()
    code, said = account(standing, "init")
    assert code == 1
    assert "Nothing was changed" in said
    assert (standing.root / "Pulumi.prod.yaml").read_text() == before


def test_the_image_is_the_publishers_and_is_written_with_name_and_date(clone: Clone) -> None:
    start(clone)
    code, said = account(clone, "ami")
    assert code == 0, said
    assert "debian-13-arm64" in said
    line = next(
        each for each in (clone.root / "Pulumi.prod.yaml").read_text().splitlines() if "terrace:ami" in each
    )
    assert line.startswith("  terrace:ami: ami-")
    assert "# debian-13-arm64" in line
    assert "stood there already" in account(clone, "ami")[1]


def states(clone: Clone) -> dict[str, str]:
    """Each secret of prod and whether it is set, as the command prints them under its head."""
    _, *lines = account(clone, "secrets")[1].splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


EXTERNAL_AI = """\
  terrace:externalAi:
    url: https://api.example.com/v1
    model: a-model
    reason: endpoint away until 2027-01-31, agreed with the customer
"""


@pytest.mark.drill
def test_prod_stands_in_a_state_bucket_with_its_own_key_and_its_secrets_are_filled(clone: Clone) -> None:
    """The whole way to real AWS, as far as the embedded cloud goes."""
    start(clone)
    assert account(clone, "init --yes")[0] == 0
    assert account(clone, "ami")[0] == 0
    path = clone.root / "Pulumi.prod.yaml"
    path.write_text(
        path.read_text()
        .replace('alarmEmail: ""', "alarmEmail: a@example.com")
        .replace('owner: ""', "owner: a@example.com")
        .replace('monthly: ""', 'monthly: "150"')
        .replace("  terrace:app:\n", EXTERNAL_AI + "  terrace:app:\n")
    )
    login = (
        'export PULUMI_BACKEND_URL="s3://terrace-state-123456789012?region=ap-northeast-2'
        '&endpoint=$AWS_ENDPOINT_URL&s3ForcePathStyle=true"; '
    )
    done = shell(
        clone,
        login
        + "pulumi stack init prod --secrets-provider 'awskms://alias/terrace-state-prod?region=ap-northeast-2' && "
        "pulumi up -s prod --yes --skip-preview --non-interactive",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert states(clone) == {"JWT_SECRET": "unset", "EXTERNAL_AI_KEY": "unset"}
    code, said = account(clone, "set JWT_SECRET", given=SENTINEL)
    assert code == 0, said
    assert SENTINEL not in said
    assert states(clone) == {"JWT_SECRET": "set", "EXTERNAL_AI_KEY": "unset"}
    exported = shell(
        clone,
        login
        + "pulumi refresh -s prod --yes --non-interactive >/dev/null; pulumi stack export -s prod --show-secrets",
    )
    assert exported.returncode == 0, exported.stderr
    assert SENTINEL not in exported.stdout
    read = python(
        clone,
        "boto3.client('ssm').get_parameter(Name='/terrace/prod/app/JWT_SECRET', WithDecryption=True)"
        "['Parameter']['Value']",
    )
    assert read == SENTINEL


@pytest.mark.parametrize(
    ("line", "given", "said"),
    [
        ("set NOBODY", "x", "is no secret of stack prod. Secrets: JWT_SECRET"),
        ("set JWT_SECRET", "", "got an empty value"),
        ("set JWT_SECRET", SENTINEL, "is not there. Make it first: pulumi up -s prod"),
        ("ami --stack nowhere", "", "'nowhere' has no file Pulumi.nowhere.yaml. Stacks here: dev, prod"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_without_the_value(
    standing: Clone, line: str, given: str, said: str
) -> None:
    code, printed = account(standing, line, given)
    assert code == 1
    assert said in " ".join(printed.split())
    assert SENTINEL not in printed
    assert "Traceback" not in printed


def test_no_credentials_are_said_with_the_remedy(clone: Clone) -> None:
    environment = {key: value for key, value in clone.environment.items() if not key.startswith("AWS_")}
    import subprocess

    done = subprocess.run(
        [str(clone.root / "scripts" / "account.py"), "secrets"],
        env={**environment, "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "there are none. Set AWS_PROFILE" in done.stderr


FILE = "# kept\nconfig:\n  aws:region: x # why\n  terrace:tags:\n    team: y\n"


def test_a_line_of_a_stack_file_changes_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(FILE)
    assert stackfile.set_value(path, "terrace:ami", "ami-1", comment="new")
    assert not stackfile.set_value(path, "terrace:ami", "ami-1")
    assert stackfile.set_value(path, "secretsprovider", "awskms://alias/a?region=b", top_level=True)
    text = path.read_text()
    assert text.startswith("# kept\nconfig:\n  terrace:ami: ami-1 # new\n  aws:region: x # why\n")
    assert text.endswith("secretsprovider: awskms://alias/a?region=b\n")
    with pytest.raises(TerraceError, match="more than one line"):
        stackfile.set_value(path, "terrace:tags", "z")


@pytest.mark.parametrize("value", ["yes", "null", "1.5", "a: b", "# c", "plain", "ami-0123", "x y"])
def test_any_text_is_written_so_that_it_is_read_back_as_the_same_text(tmp_path: Path, value: str) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(FILE)
    stackfile.set_value(path, "terrace:ami", value)
    assert stackfile.config(path)["terrace:ami"] == value
