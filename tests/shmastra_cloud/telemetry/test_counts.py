from tests.shmastra_cloud.telemetry.rows import row

from shmastra_cloud.gateway import InvalidKey, RouteRefused
from shmastra_cloud.telemetry.counts import BOUNDS, NO_MODEL, OTHER, Call, Counts, Refusal, Times


def models(counts: Counts) -> set[str]:
    return {call.model for call in counts.calls}


def test_calls_of_one_kind_are_added_up() -> None:
    counts = Counts()
    counts.record(row())
    counts.record(row(status=201, estimated=True, ttfb_ms=None, cost=None))
    counts.record(row(ended="client_gone"))
    both = counts.calls[Call("openai", "gpt-5-mini", "agent", 2, "complete")]
    assert (both.calls, both.estimated, both.input, both.cached, both.output, both.reasoning) == (
        2,
        1,
        20,
        4,
        10,
        2,
    )
    assert (both.cache_write, both.unpriced, both.cost_usd) == (6, 1, 0.00125)
    assert len(counts.calls) == 2
    assert sum(counts.first_byte["openai"].counts) == 2
    assert sum(counts.duration["openai"].counts) == 3
    assert counts.duration["openai"].total == 120


def test_a_time_counts_in_the_first_bound_that_holds_it() -> None:
    times = Times()
    for milliseconds in (0, BOUNDS[0], BOUNDS[0] + 1, BOUNDS[-1], BOUNDS[-1] + 1):
        times.add(milliseconds)
    assert (times.counts[0], times.counts[1], times.counts[-2], times.counts[-1]) == (2, 1, 1, 1)


def test_a_model_has_a_label_only_once_a_provider_has_answered_for_it() -> None:
    counts = Counts()
    counts.record(row(model="my secret plan", status=404))
    counts.record(row(model="gpt-5-mini", status=429))
    assert models(counts) == {OTHER}
    counts.record(row())
    counts.record(row(status=429))
    assert models(counts) == {OTHER, "gpt-5-mini"}
    for odd in ("a\nb", 'a"b', "x" * 101, "\ud800", ""):
        counts.record(row(model=odd))
    counts.record(row(model=None))
    assert models(counts) == {OTHER, "gpt-5-mini", NO_MODEL}


def test_what_clients_choose_makes_it_no_larger() -> None:
    counts = Counts(models=3)
    for at in range(20_000):
        counts.record(row(model=f"m{at}", status=200 + at % 400))
    assert models(counts) == {"m0", "m1", "m2", OTHER}
    assert len(counts._quick) < 10
    assert sum(kind.calls for kind in counts.calls.values()) == 20_000


def test_refusals_are_told_apart_by_the_gateways_own_codes() -> None:
    counts = Counts()
    for _ in range(2):
        counts.refused("openai", InvalidKey("vk_secret"))
    counts.refused(None, RouteRefused("/files"))
    assert counts.refusals == {
        Refusal("openai", 401, "invalid_api_key"): 2,
        Refusal("none", 403, "route_not_allowed"): 1,
    }
