from sandboxd.seccomp import NAMESPACE_FLAGS, profile


def test_what_leads_out_is_not_on_the_list() -> None:
    rules = profile()["syscalls"]
    plain = {
        name
        for rule in rules
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }
    assert {"read", "write", "execve", "futex"} <= plain
    assert not plain & {
        "mount",
        "unshare",
        "setns",
        "bpf",
        "ptrace",
        "keyctl",
        "io_uring_setup",
        "clone",
        "socket",
    }
    [clone] = [rule for rule in rules if rule["names"] == ["clone"]]
    assert clone["args"][0]["value"] == NAMESPACE_FLAGS
    families = [rule["args"][0]["value"] for rule in rules if rule["names"] == ["socket"]]
    assert families == [1, 2, 10, 16]
