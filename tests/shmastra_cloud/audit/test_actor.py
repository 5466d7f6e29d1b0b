import os
from uuid import uuid4

from shmastra_cloud.audit import Actor


def test_each_kind_of_actor_says_who_he_is() -> None:
    root = Actor.of_uid(0, "socket")
    assert (root.kind, root.name, root.id, root.on_the_machine) == ("os", "root", "0", True)
    assert Actor.of_uid(54321, "socket").name == "uid 54321"
    assert Actor.of_uid(os.getuid(), "socket").id == str(os.getuid())
    ann = uuid4()
    signed_in = Actor.of_user(ann, "ann@example.com", "10.0.0.1")
    assert (signed_in.kind, signed_in.id, signed_in.on_the_machine) == ("user", str(ann), False)
    with_token = Actor.of_user(ann, "ann@example.com", "10.0.0.1", "laptop")
    assert (with_token.kind, with_token.token, with_token.on_the_machine) == ("token", "laptop", False)
    assert (Actor.of_provider("oidc").kind, Actor.of_provider().name) == ("provider", "identity provider")
