from sandboxd.spec import Limits, oci_config


def test_a_container_has_every_namespace_no_capability_and_its_limits() -> None:
    config = oci_config("i1", "/r", 1_000_000, Limits(memory_mb=100, cpus=0.5, pids=7), {"x": 1})
    linux, process = config["linux"], config["process"]
    assert {one["type"] for one in linux["namespaces"]} == {"pid", "ipc", "uts", "mount", "network", "user"}
    assert process["capabilities"] == {}
    assert process["noNewPrivileges"] is True
    assert "rlimits" not in process
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1_000_000, "size": 65536}]
    resources = linux["resources"]
    assert resources["memory"]["limit"] == 100 << 20
    assert resources["cpu"] == {"quota": 50_000, "period": 100_000}
    assert resources["pids"] == {"limit": 7}
    assert linux["seccomp"] == {"x": 1}
