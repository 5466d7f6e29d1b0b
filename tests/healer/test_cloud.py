import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.healer.sandboxes import KEY, Cloud, place_in, running_cloud, until

from shmastra_healer import cloud as reports
from shmastra_healer.cloud import Message, Reporter
from shmastra_healer.place import Place


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with running_cloud() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, cloud: Cloud) -> Place:
    return place_in(tmp_path, cloud=cloud.url)


class Told:
    """A reporter that retries quickly, and what came of it."""

    def __init__(self, place: Place) -> None:
        self.said: list[str] = []
        self.answers: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self.reporter = Reporter(place, self.said.append, self._answered, first_rest=0.01)

    def _answered(self, message: Message, status: int) -> None:
        self.answers.put((message.status, status))


def test_a_report_is_delivered_with_the_key(place: Place, cloud: Cloud) -> None:
    told = Told(place)
    told.reporter.tell(Message("broken", 3, "no luck"))
    assert told.answers.get(timeout=10) == ("broken", 200)
    assert cloud.reports == [{"status": "broken", "attempt": 3, "error": "no luck"}]
    assert cloud.keys == [f"Bearer {KEY}"]
    assert KEY not in "".join(told.said)


def test_reports_keep_their_order_and_repeat_until_they_are_taken(place: Place, cloud: Cloud) -> None:
    cloud.statuses = [500, 503, 429]
    told = Told(place)
    told.reporter.tell(Message("healing", 1))
    told.reporter.tell(Message("ready", 1))
    assert [told.answers.get(timeout=10) for _ in range(2)] == [("healing", 200), ("ready", 200)]
    assert cloud.told == ["healing", "ready"]


def test_a_refusal_is_an_answer(place: Place, cloud: Cloud) -> None:
    cloud.statuses = [409, 400]
    told = Told(place)
    told.reporter.tell(Message("healing", 1))
    assert told.answers.get(timeout=10) == ("healing", 409)
    told.reporter.tell(Message("ready", 1))
    assert told.answers.get(timeout=10) == ("ready", 400)
    assert len(cloud.keys) == 2


def test_a_changed_key_is_read_anew(place: Place, cloud: Cloud) -> None:
    cloud.statuses = [401]
    told = Told(place)
    told.reporter._first_rest = 0.5
    told.reporter.tell(Message("healing", 1))
    until(lambda: cloud.keys)
    (place.project / ".env").write_text(f"CLOUD_URL={cloud.url}/\nOPENAI_API_KEY=vk_new\n")
    assert told.answers.get(timeout=10) == ("healing", 200)
    assert cloud.keys == [f"Bearer {KEY}", "Bearer vk_new"]


def test_an_unknown_key_is_given_up_and_the_next_report_is_tried(place: Place, cloud: Cloud) -> None:
    cloud.statuses = [401] * reports.MAX_UNKNOWN
    told = Told(place)
    told.reporter.tell(Message("healing", 1))
    until(lambda: "gave up telling the cloud healing" in told.said)
    told.reporter.tell(Message("ready", 1))
    assert told.answers.get(timeout=10) == ("ready", 200)


@pytest.mark.parametrize("env", ["", "CLOUD_URL=ftp://x", "CLOUD_URL=http://[", "CLOUD_URL=http://h:x", None])
def test_without_an_address_it_gives_up_without_a_crash(
    place: Place, env: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_TRIES", 2)
    (place.project / ".env").unlink() if env is None else (place.project / ".env").write_text(env)
    told = Told(place)
    told.reporter.tell(Message("healing", 1))
    until(lambda: "gave up telling the cloud healing" in told.said)


def test_a_cloud_that_is_away_gets_what_still_matters_when_it_is_back(place: Place, cloud: Cloud) -> None:
    away = cloud.url
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    (place.project / ".env").write_text(f"CLOUD_URL={dead}\nOPENAI_API_KEY={KEY}\n")
    told = Told(place)
    told.reporter._first_rest = 0.2
    told.reporter.tell(Message("healing", 1))
    until(lambda: told.said)
    told.reporter.tell(Message("broken", 3))
    told.reporter.tell(Message("healing", 1))
    told.reporter.tell(Message("ready", 1))
    (place.project / ".env").write_text(f"CLOUD_URL={away}\nOPENAI_API_KEY={KEY}\n")
    until(lambda: cloud.told == ["healing", "ready"], 20)


def test_rubbish_and_silence_are_tried_again(
    place: Place, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "ANSWER_SECONDS", 0.2)
    seen = threading.Event()

    def rubbish() -> None:
        for answer in (b"", b"SSH-2.0 x\r\n\r\n", None):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                time.sleep(0.4) if answer is None else connection.sendall(answer)
        seen.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=rubbish)
        thread.start()
        (place.project / ".env").write_text(f"CLOUD_URL=http://127.0.0.1:{listener.getsockname()[1]}\n")
        told = Told(place)
        told.reporter.tell(Message("healing", 1))
        assert seen.wait(10)
        (place.project / ".env").write_text(f"CLOUD_URL={cloud.url}\n")
        thread.join(5)
    assert told.answers.get(timeout=10) == ("healing", 200)


def test_a_redirect_is_not_followed(place: Place, cloud: Cloud) -> None:
    cloud.statuses = [302]
    told = Told(place)
    told.reporter.tell(Message("ready", 1))
    assert told.answers.get(timeout=10) == ("ready", 302)
    assert len(cloud.keys) == 1
