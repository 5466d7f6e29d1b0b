from __future__ import annotations

import random
from itertools import pairwise

import pytest

from shmastra_healer.decide import MAX_ATTEMPTS, Decider
from shmastra_healer.events import (
    Asked,
    AskPm2,
    Command,
    Event,
    Exited,
    Note,
    Orphaned,
    Polled,
    Refused,
    Report,
    Restart,
    Restarted,
    Runner,
    Tell,
    Woke,
)
from shmastra_healer.settings import Patience

RUNNING, STARTING, CRASHED, BROKEN = (
    Runner(one, "1") for one in ("running", "starting", "crashed", "broken")
)
AGAIN = Runner("running", "2")
START = Patience().start


class Life:
    """A decider on a clock of its own; remembers what it said, without the lines for the log."""

    def __init__(self, told: Report | None = None, *, well: bool = True) -> None:
        self.now = 1000.0
        self.decider = Decider(Patience(), self.now, told, lambda: 1.0)
        self.said: list[Command] = []
        if well:
            self.see(Polled(True, RUNNING))
            self.said.clear()

    @property
    def phase(self) -> str:
        return self.decider.phase

    def see(self, *events: Event) -> list[Command]:
        """Let events happen now; returns what is to be done."""
        new = [command for event in events for command in self.decider.handle(event, self.now)]
        self.said += [command for command in new if not isinstance(command, Note)]
        return [command for command in new if not isinstance(command, Note)]

    def polls(self, seconds: float, event: Polled) -> list[Command]:
        """Poll for so long, as often as the decider wants it; returns the first that is to be done."""
        end = self.now + seconds
        while self.now < end:
            self.now += self.decider.poll_after
            new = self.see(event)
            if new:
                return new
        return []

    def crash(self) -> None:
        """Let it hang until the first attempt is due."""
        self.polls(21, Polled(False, RUNNING))
        self.see(Asked("online", 500))
        assert self.phase == "resting"

    def attempt(self, result: Polled | None) -> list[Command]:
        """Wait for the restart that is due, and let it lead to something."""
        assert self.polls(START, Polled(False, RUNNING)) == [Restart()]
        self.see(Restarted(True))
        return self.polls(START + 1, result or Polled(False, RUNNING))

    def break_down(self) -> None:
        """Fail three times."""
        self.crash()
        for _ in range(MAX_ATTEMPTS):
            self.attempt(None)
        assert self.phase == "broken"


def test_health_says_nothing_and_is_asked_for_seldom() -> None:
    life = Life()
    assert life.polls(600, Polled(True, RUNNING)) == []
    assert life.decider.poll_after == 10


def test_one_failed_poll_is_nothing_and_two_have_pm2_asked() -> None:
    life = Life()
    life.now += 10
    assert life.see(Polled(False, RUNNING)) == []
    life.now += 10
    assert life.see(Polled(True, RUNNING)) == []
    life.now += 10
    assert life.see(Polled(False, RUNNING)) == []
    life.now += 10
    assert life.see(Polled(False, RUNNING)) == [AskPm2()]
    assert life.see(Asked("online", 500)) == [Tell("healing", 1)]


@pytest.mark.parametrize("status", ["stopped", "errored", "waiting restart", None])
def test_whatever_pm2_says_a_dead_server_is_repaired(status: str | None) -> None:
    life = Life()
    life.polls(20, Polled(False, RUNNING))
    assert life.see(Asked(status, 0)) == [Tell("healing", 1)]


@pytest.mark.parametrize("asked", [Asked("launching", 0), Asked("stopping", 500), Asked("online", 3)])
def test_somebody_elses_restart_gets_its_time(asked: Asked) -> None:
    life = Life()
    life.polls(20, Polled(False, RUNNING))
    assert life.see(asked) == []
    assert life.phase == "starting"
    assert life.polls(START - 1, Polled(False, RUNNING)) == []
    assert life.polls(2, Polled(False, RUNNING)) == [Tell("healing", 1)]


def test_one_that_was_seen_healthy_since_its_start_gets_no_more_time() -> None:
    life = Life()
    life.polls(20, Polled(False, RUNNING))
    assert life.see(Asked("online", 22)) == [Tell("healing", 1)]


@pytest.mark.parametrize("state", ["starting", "reloading"])
def test_a_reload_is_no_crash_but_one_that_hangs_is(state: str) -> None:
    life = Life()
    reload = Runner(state, "2")
    assert life.polls(25, Polled(False, reload)) == []
    assert life.polls(10, Polled(True, AGAIN)) == []
    assert life.polls(300, Polled(True, Runner(state, "3"))) == []  # the old one serves meanwhile
    hung = Runner(state, "4")
    assert life.polls(START, Polled(False, hung)) == []
    assert life.polls(20, Polled(False, hung)) == [Tell("healing", 1)]


def test_a_rejected_change_is_no_crash() -> None:
    life = Life()
    for state in ("running", "broken"):
        assert life.polls(100, Polled(True, Runner(state, "2"))) == []


def test_an_exit_that_pm2_cures_is_no_crash() -> None:
    life = Life()
    assert life.see(Exited(), Polled(False, CRASHED)) == []
    assert life.polls(2, Polled(False, STARTING)) == []
    assert life.polls(1, Polled(True, AGAIN)) == []
    assert life.phase == "well"


def test_after_an_exit_the_old_runners_word_counts_for_nothing() -> None:
    life = Life()
    life.see(Exited(), Polled(True, RUNNING))
    assert life.phase == "doubt"
    life.polls(1, Polled(True, CRASHED))
    assert life.phase == "doubt"
    life.see(Exited())
    assert life.polls(6, Polled(True, STARTING)) == [AskPm2()]
    assert life.see(Asked("online", 0.5)) == [Tell("healing", 1)]


def test_an_old_server_that_answers_is_not_taken_for_a_repaired_one() -> None:
    life = Life()
    life.crash()
    assert life.polls(2, Polled(True, CRASHED)) == [Restart()]


def test_a_runner_that_cannot_write_is_believed_by_its_health_in_the_end() -> None:
    life = Life()
    life.see(Exited(), Polled(False, RUNNING))
    life.polls(6, Polled(True, RUNNING))
    life.see(Asked("online", 5))
    assert life.polls(START - 1, Polled(True, RUNNING)) == []
    assert life.phase == "starting"
    assert life.polls(2, Polled(True, RUNNING)) == []
    assert life.phase == "well"


def test_a_server_that_outlived_its_runner_does_not_hide_that_new_ones_fail() -> None:
    life = Life()
    life.see(Exited(), Polled(True, RUNNING))
    assert life.polls(6, Polled(True, STARTING)) == [AskPm2()]
    assert life.see(Asked("online", 3)) == []
    assert life.see(Exited(), Polled(True, CRASHED), Polled(True, Runner("starting", "2"))) == []
    assert life.see(Exited()) == [Tell("healing", 1)]


def test_an_exit_that_pm2_does_not_cure_is_a_crash() -> None:
    life = Life()
    life.see(Exited())
    assert life.polls(4.4, Polled(False, CRASHED)) == []
    assert life.polls(1, Polled(False, CRASHED)) == [AskPm2()]
    assert life.see(Asked("stopped", 5)) == [Tell("healing", 1)]


def test_a_slow_new_start_after_one_exit_gets_its_time() -> None:
    life = Life()
    life.see(Exited())
    assert life.polls(6, Polled(False, STARTING)) == [AskPm2()]
    assert life.see(Asked("online", 5)) == []
    assert life.polls(20, Polled(False, STARTING)) == []
    assert life.polls(1, Polled(True, AGAIN)) == []
    assert life.phase == "well"


def test_code_that_does_not_load_is_not_waited_for() -> None:
    life = Life()
    life.see(Exited())
    life.polls(6, Polled(False, BROKEN))
    life.see(Asked("online", 5))
    assert life.polls(1, Polled(False, BROKEN)) == [Tell("healing", 1)]


def test_a_change_that_passed_its_check_and_did_not_load_is_a_crash_without_hope() -> None:
    life = Life()
    assert life.polls(20, Polled(False, BROKEN)) == [AskPm2()]
    assert life.see(Asked("online", 500)) == [Tell("healing", 1)]
    assert life.attempt(Polled(False, Runner("broken", "2"))) == [Tell("healing", 2)]


def test_a_start_that_hangs_from_the_beginning_is_a_crash() -> None:
    life = Life(well=False)
    assert life.polls(START - 1, Polled(False, None)) == []
    assert life.polls(2, Polled(False, None)) == [Tell("healing", 1)]


def test_an_attempt_that_helps_is_reported() -> None:
    life = Life()
    life.crash()
    assert life.attempt(Polled(True, AGAIN)) == [Tell("ready", 1)]
    assert life.phase == "well"


def test_three_attempts_with_growing_rests_then_broken() -> None:
    life = Life()
    life.crash()
    rests = []
    for _ in range(MAX_ATTEMPTS):
        began = life.now
        life.polls(40, Polled(False, RUNNING))
        rests.append(life.now - began)
        life.see(Restarted(True))
        life.polls(START + 1, Polled(False, RUNNING))
    assert rests == [1, 3, 9]
    tells = [one for one in life.said if isinstance(one, Tell)]
    assert tells == [Tell("healing", 1), Tell("healing", 2), Tell("healing", 3), Tell("broken", 3)]
    assert life.polls(3600, Polled(False, RUNNING)) == []


def test_a_repair_takes_the_health_that_comes_by_itself() -> None:
    life = Life()
    life.crash()
    assert life.polls(1, Polled(True, RUNNING)) == [Tell("ready", 1)]


def test_an_attempt_ends_early_when_the_runner_gives_up() -> None:
    life = Life()
    life.crash()
    began = life.now
    assert life.attempt(Polled(False, Runner("broken", "2"))) == [Tell("healing", 2)]
    life.polls(4, Polled(False, RUNNING))
    life.see(Restarted(True), Exited())
    assert life.see(Polled(False, Runner("crashed", "3"))) == [Tell("healing", 3)]
    assert life.now - began < 8


def test_the_last_word_of_the_runner_before_ends_no_attempt() -> None:
    life = Life()
    life.crash()
    life.polls(2, Polled(False, RUNNING))
    life.see(Restarted(True))
    assert life.see(Polled(False, Runner("crashed", "2"))) == []
    assert life.polls(2, Polled(True, Runner("running", "3"))) == [Tell("ready", 1)]


def test_an_attempt_ends_early_after_two_exits_or_when_pm2_fails() -> None:
    life = Life()
    life.crash()
    life.polls(2, Polled(False, RUNNING))
    assert life.see(Restarted(False)) == [Tell("healing", 2)]
    life.polls(4, Polled(False, RUNNING))
    life.see(Restarted(True))
    assert life.see(Exited()) == []
    assert life.see(Exited()) == [Tell("healing", 3)]


def test_after_broken_health_leads_through_healing_to_ready() -> None:
    life = Life()
    life.break_down()
    assert life.see(Exited()) == []
    assert life.polls(30, Polled(True, AGAIN)) == [Tell("healing", 1), Tell("ready", 1)]
    life.crash()
    assert life.said[-1] == Tell("healing", 1)


def test_a_server_that_dies_again_soon_uses_up_its_attempts() -> None:
    life = Life()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        life.crash()
        assert life.said[-1] == Tell("healing", attempt)
        life.attempt(Polled(True, Runner("running", f"a{attempt}")))
    life.polls(20, Polled(False, RUNNING))
    assert life.see(Asked("online", 500)) == [Tell("healing", 3), Tell("broken", 3)]


def test_attempts_are_counted_anew_after_a_steady_while() -> None:
    life = Life()
    life.crash()
    life.attempt(Polled(True, AGAIN))
    life.polls(70, Polled(True, AGAIN))
    life.crash()
    assert life.said[-1] == Tell("healing", 1)


@pytest.mark.parametrize("tries", [0, 1])
def test_where_the_cloud_is_at_work_the_healer_stands_back(tries: int) -> None:
    life = Life()
    life.crash()
    for _ in range(tries):
        life.attempt(None)
    assert life.see(Refused("healing")) == []
    assert life.polls(59, Polled(False, RUNNING)) == []
    assert life.polls(2, Polled(False, RUNNING)) == [Tell("healing", 1)]
    life.see(Refused("healing"))
    assert life.polls(1, Polled(True, AGAIN)) == [Tell("ready", 1)]
    assert life.see(Refused("ready")) == []


@pytest.mark.parametrize("status", ["healing", "ready", "broken"])
def test_a_late_refusal_changes_nothing(status: Report) -> None:
    life = Life()
    assert life.see(Refused(status)) == []
    life.break_down()
    assert life.see(Refused(status)) == []
    assert life.phase == "broken"


def test_waking_forgives_what_failed_before() -> None:
    life = Life()
    life.now += 10
    life.see(Polled(False, RUNNING))
    life.now += 9000
    life.see(Woke())
    assert life.see(Polled(False, RUNNING)) == []
    life.now += 10
    assert life.see(Polled(True, RUNNING)) == []


def test_waking_gives_a_start_its_whole_time_again() -> None:
    life = Life()
    life.see(Exited(), Polled(False, STARTING))
    life.polls(6, Polled(False, STARTING))
    life.see(Asked("online", 5))
    life.now += 9000
    life.see(Woke())
    assert life.polls(START - 1, Polled(False, STARTING)) == []
    assert life.polls(2, Polled(False, STARTING)) == [Tell("healing", 1)]


def test_waking_in_the_midst_of_a_reload_gives_it_its_time_again() -> None:
    life = Life()
    life.polls(20, Polled(False, STARTING))
    life.now += 9000
    assert life.see(Woke(), Polled(False, STARTING)) == []
    assert life.polls(20, Polled(False, STARTING)) == []


@pytest.mark.parametrize("broken", [False, True])
def test_the_end_of_pm2_is_a_crash(broken: bool) -> None:
    life = Life()
    if broken:
        life.break_down()
    assert life.see(Orphaned()) == [Tell("healing", 1)]
    assert life.see(Orphaned()) == []
    assert life.polls(2, Polled(True, AGAIN)) == [Restart()]
    assert life.see(Restarted(False)) == [Tell("healing", 2)]
    assert life.polls(4, Polled(True, AGAIN)) == [Restart()]


@pytest.mark.parametrize(("told", "said"), [(None, []), ("ready", []), ("healing", [Tell("ready", 1)])])
def test_a_new_healer_finishes_what_an_earlier_one_reported(told: Report | None, said: list[Command]) -> None:
    life = Life(told, well=False)
    assert life.polls(1, Polled(True, RUNNING)) == said
    assert life.polls(60, Polled(True, RUNNING)) == []


def test_a_new_healer_takes_back_that_it_is_broken_only_if_the_cloud_still_thinks_so() -> None:
    life = Life("broken", well=False)
    assert life.polls(1, Polled(True, RUNNING)) == [Tell("ready", 1)]
    assert life.see(Refused("ready")) == [Tell("healing", 1), Tell("ready", 1)]
    assert life.see(Refused("healing"), Refused("ready")) == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_reports_keep_to_the_clouds_order(seed: int) -> None:
    dice = random.Random(seed)
    life = Life()
    states = ("starting", "running", "reloading", "crashed", "broken", "stopped", "?")
    for _ in range(3000):
        life.now += dice.choice([0.1, 0.5, 1, 10, 40])
        runner = dice.choice([None, Runner(dice.choice(states), str(dice.randrange(3)))])
        new = life.see(dice.choice([Polled(dice.random() < 0.3, runner), Exited(), Woke(), Orphaned()]))
        if AskPm2() in new:
            new = life.see(Asked(dice.choice(["online", "stopped", "launching", None]), dice.random() * 60))
        if Restart() in new:
            life.see(Restarted(dice.random() < 0.8))
    tells = [one for one in life.said if isinstance(one, Tell)]
    assert len(tells) > 20
    assert tells[0].status == "healing"
    for before, after in pairwise(tells):
        assert after.status == "healing" or before.status == "healing"
        assert 1 <= after.attempt <= MAX_ATTEMPTS
