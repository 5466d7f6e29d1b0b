import re

from shmastra_cloud.pages import page


def test_each_answer_has_a_nonce_of_its_own_and_uses_it() -> None:
    nonces = set()
    for _ in range(2):
        answer = page("sign_in.html", ways=(), place="", mail=False)
        [nonce] = set(re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"]))
        assert f'<style nonce="{nonce}">'.encode() in bytes(answer.body)
        nonces.add(nonce)
    assert len(nonces) == 2
