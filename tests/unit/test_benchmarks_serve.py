"""The row of the server: its counts, by hand."""

from __future__ import annotations

from collections import Counter

from benchmarks.rows import serve


def test_percentiles():
    assert serve.percentiles([]) == (0, 0)
    assert serve.percentiles([3]) == (3, 3)
    p50, p95 = serve.percentiles([float(n) for n in range(101)])
    assert (p50, p95) == (50, 95)


def test_what_clients_were_told_is_summed_up():
    many = serve.Load(3, [0.1, 0.3], Counter({200: 2, 429: 5}), Counter({0: 1, 2: 1}), wall=4.0)
    one = serve.Load(1, [0.2, 0.2, 0.2], Counter({200: 3}), Counter({0: 3}), wall=2.0)
    summed = serve.summary(many)
    assert summed == {
        "rate": 0.5, "clients": 3, "answered": 2, "statuses": {"200": 2, "429": 5}, "p50": 0.2,
        "p95": 0.29,
    }  # fmt: skip
    click = dict.fromkeys(("server_p50_ms", "server_p95_ms", "round_p50_ms", "round_p95_ms"), 9.0)
    result = {
        "seconds": 2, "clients": 3, "photos": 5, "one": serve.summary(one), "many": summed,
        "click": {"clicks": 4, **click},
        "memory_mb": {"before": 100, "after_one": 101, "after_many": None},
    }  # fmt: skip
    text = serve.table(result)
    assert "| times the rate of one alone | 1 | 0.33 |" in text
    assert "| clients that got an answer | 1 of 1 | 2 of 3 |" in text
    assert "| answers with status 429 | 0 | 5 |" in text
    assert "| memory afterwards | 101 MB | - |" in text
