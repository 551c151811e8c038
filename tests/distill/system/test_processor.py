"""The cores that a process may use: by its affinity, and by its container's quota."""

import os

import pytest

from distill.system.processor import physical_cores, usable_cores


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A machine of 64 processors, two of a core, with files of its kernel."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for cpu in range(64):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list",
              f"{cpu % 32},{cpu % 32 + 32}")  # fmt: skip
    return tmp_path


def write(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"{content}\n")


def test_the_affinity(root, monkeypatch):
    assert (usable_cores(root), physical_cores(root)) == (64, 32)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert (usable_cores(root), physical_cores(root)) == (2, 2)


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {}, 64),
        ("0::/slice/job", {"slice/cpu.max": "400000 100000", "slice/job/cpu.max": "max 100000"}, 4),
        ("0::/of/the/host", {"cpu.max": "350000 100000"}, 3),
        ("4:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "200000",
                                "cpu/job/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu,cpuacct:/of/the/host", {"cpu,cpuacct/cpu.cfs_quota_us": "300000",
                                        "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("4:memory:/\n3:cpuset:/", {"cpu.cfs_quota_us": "100000"}, 64),
    ],
)  # fmt: skip
def test_a_containers_quota(root, group, files, cores):
    write(root, "proc/self/cgroup", group)
    for name, content in files.items():
        write(root, f"sys/fs/cgroup/{name}", content)
    assert usable_cores(root) == cores
    assert physical_cores(root) == min(cores, 32)


def test_here():
    assert 1 <= physical_cores() <= usable_cores() <= (os.cpu_count() or 1)
