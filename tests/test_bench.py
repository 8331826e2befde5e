"""The measurements run and measure what they say."""

from __future__ import annotations

from genrec.bench.start import measure


def test_a_start_serves_its_page_before_its_models_are_loaded():
    start = measure()
    assert 0 < start.page_s < 0.7 * start.ready_s
    assert start.resident_gib == 0 or 0.3 < start.resident_gib < 1.5
