"""The only place for what is in the root file system of boxes.

`IMAGE` follows the package lists that the Debian cloud team builds its EC2 images from (debian-cloud-images,
config_space: SYSTEM_BOOT, CLOUD, EC2, TIME_CHRONY), without what a container cannot use (kernel, boot loader,
AppArmor) and without netplan and systemd-resolved: addresses and resolver are set from outside.

`CACHED` is what the host bundle installs: not installed in the image, but its .deb files lie in apt's cache, so that
installing is real and quick, with or without a way to a mirror. Nothing here starts a service that a fresh EC2
machine would not run.
"""

from __future__ import annotations

from infra.core.packages import SUITE as SUITE

FORMAT = 1
"""Raise it when `rootfs` makes something else from the same lists."""

IMAGE = (
    "amazon-ec2-utils",
    "apt-utils",
    "awscli",
    "ca-certificates",
    "chrony",
    "cloud-guest-utils",
    "cloud-init",
    "curl",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "iproute2",
    "iptables",
    "iputils-ping",
    "jq",
    "kmod",
    "less",
    "libpam-systemd",
    "linux-sysctl-defaults",
    "nano",
    "netbase",
    "openssh-server",
    "polkitd",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
    "unattended-upgrades",
    "vim-tiny",
    "whiptail",
    "zstd",
)

CACHED = (
    "certbot",
    "logrotate",
    "nftables",
    "nginx",
    "nodejs",
    "openjdk-21-jre-headless",
    "pgbackrest",
    "postgresql-17",
    "postgresql-17-pgvector",
    "python3-boto3",
    "xfsprogs",
)

CLOUD_CONFIG = """\
# The user data comes from the seed that is put into the machine before its boot; the network is set from outside.
datasource_list: [ NoCloud ]
network: {config: disabled}
manage_etc_hosts: true
growpart: {mode: "off"}
resize_rootfs: false
system_info:
  default_user: {name: admin}
"""
"""/etc/cloud/cloud.cfg.d/: the user is `admin`, as on Debian's EC2 images."""
