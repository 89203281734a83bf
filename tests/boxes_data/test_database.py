"""An RDS instance of the embedded cloud is a PostgreSQL 17 machine, reached by whom its security group names."""

from __future__ import annotations

import json

import pytest

from bench.moved import Cloud

pytestmark = pytest.mark.box


def psql(
    cloud: Cloud, box: str, query: str, *, options: str = "sslmode=verify-full sslrootcert=system"
) -> str:
    """The answer of the database to its master user, from that box; secrets come by the environment."""
    found = cloud.client("secretsmanager").get_secret_value(SecretId=cloud.master_secret)
    login = json.loads(found["SecretString"])
    return (
        f"PGPASSWORD='{login['password']}' psql -XAtq -v ON_ERROR_STOP=1 "
        f"'host={cloud.endpoint} dbname=app user={login['username']} {options}' -c \"{query}\""
    )


def test_it_answers_at_its_endpoint_with_the_secret_that_it_was_given(cloud: Cloud) -> None:
    said = cloud.sh(
        "backend", psql(cloud, "backend", "show server_version_num; show max_connections; show wal_level")
    )
    version, connections, level = said.split()
    assert version.startswith("17")
    assert (connections, level) == ("80", "logical")


def test_its_master_is_no_superuser_and_may_make_the_vector_extension(cloud: Cloud) -> None:
    query = (
        "create extension if not exists vector; select rolsuper from pg_roles where rolname = current_user"
    )
    assert cloud.sh("backend", psql(cloud, "backend", query)) == "f"


def test_it_takes_no_connection_in_clear(cloud: Cloud) -> None:
    error = cloud.sh("backend", psql(cloud, "backend", "select 1", options="sslmode=disable"), fails=True)
    assert "no encryption" in error


def test_a_box_that_its_security_group_does_not_name_does_not_reach_it(cloud: Cloud) -> None:
    cloud.sh("frontend", f"pg_isready -t 3 -h {cloud.endpoint}", fails=True)
    assert cloud.sh("frontend", f"getent hosts {cloud.endpoint}")


def test_the_authorities_of_rds_are_had_where_aws_publishes_them(cloud: Cloud) -> None:
    url = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
    assert "BEGIN CERTIFICATE" in cloud.sh("backend", f"curl -fsS {url}")
