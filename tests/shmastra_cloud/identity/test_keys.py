import re
import uuid

from shmastra_cloud.identity import key_hash, new_virtual_key


def test_a_key_names_its_user_and_is_never_the_same() -> None:
    user = uuid.uuid4()
    first, second = new_virtual_key(user), new_virtual_key(user)
    assert re.fullmatch(rf"vk_{user}_[0-9a-f]{{32,}}", first)
    assert first != second
    assert len(key_hash(first)) == 32
    assert key_hash(first) != key_hash(second)
