"""The measurements run and measure what they say."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from genrec import cli
from genrec.bench import capacity, speed_cuda
from genrec.bench.capacity import Load, Rates, needed, parse_rates, simulate
from genrec.bench.start import measure, measure_command
from genrec.engines import scheduler
from genrec.engines.local import LocalEngine
from genrec.engines.scheduler import shared_length
from genrec.errors import InputError
from genrec.schema import Conversation, Sampling


def test_a_start_serves_its_page_before_its_models_are_loaded():
    start = measure()
    assert 0 < start.page_s < start.app_s < start.ready_s
    assert start.page_s < start.app_s / 2  # before Gradio is imported
    assert start.resident_gib == 0 or 0.1 < start.resident_gib < 0.8


def test_a_command_is_timed_to_its_first_character_and_its_processor_time_counted():
    code = "import sys, time; sys.stdout.write('a'); sys.stdout.flush(); time.sleep(1.5); sum(range(2_000_000))"
    command = measure_command(("-S", "-c", code))
    slept = measure_command(("-S", "-c", "import time; time.sleep(0.5); print('a')"))
    assert command.first_s < 1.5 and slept.first_s > 0.5
    assert 0 < slept.cpu_s < 0.4
    with pytest.raises(RuntimeError, match="wrote nothing"):
        measure_command(("-S", "-c", "pass"))


def test_a_reply_of_the_bundled_models_imports_no_heavy_package():
    """A first answer waits for every import; only models of the hub need these."""
    code = """
import sys
from genrec.load import load_assistant
from genrec.schema import Conversation, Sampling
from genrec.settings import Settings
assistant = load_assistant(Settings(model="bundled", cache="off", database=":memory:"))
*_, reply = assistant.reply(Conversation(), "slow jazz", Sampling(seed=1, max_new_tokens=20))
assert reply.text
heavy = {"torch", "transformers", "detoxify", "sentence_transformers", "sklearn", "pandas", "gradio", "huggingface_hub"}
print(heavy & sys.modules.keys() or "none")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "none"


# Capacity


def test_one_slot_is_the_queue_of_the_textbooks():
    """M/D/1: the mean wait is ρ s / (2 (1 - ρ))."""
    rates = Rates({1: 100.0}, prompt_s=0.0)
    load = Load(messages_per_s=0.6, reply_tokens=100, sentence_tokens=100, spread=0)
    waits = simulate(load, rates, 1, slots=1, queue=10**6, num_messages=20_000)
    assert waits.queued.mean() == pytest.approx(0.6 / (2 * 0.4), rel=0.1)
    assert waits.used == pytest.approx(0.6, rel=0.05)
    np.testing.assert_allclose(waits.whole - waits.queued, 1.0)


def test_a_lone_message_waits_for_its_prompt_and_its_own_tokens():
    rates = Rates({1: 50.0, 4: 100.0}, prompt_s=0.5)
    waits = simulate(Load(1e-6, 100, 25, spread=0), rates, 1, num_messages=50)
    np.testing.assert_allclose(waits.first, 0.5 + 25 / 50)
    np.testing.assert_allclose(waits.whole, 0.5 + 100 / 50)


def test_replies_that_share_a_replica_slow_each_other_down_as_measured():
    """Two at once at half of twice the rate of four: steps of 30 ms between those of 20 and 40."""
    rates = Rates({1: 50.0, 3: 75.0}, prompt_s=0.0)
    assert [rates.step_s(num) for num in (1, 2, 3, 6)] == pytest.approx([0.02, 0.03, 0.04, 0.08])


def test_a_full_queue_turns_messages_away():
    waits = simulate(Load(10, 100, 25), Rates({1: 100.0}, 0.0), 1, slots=1, queue=2, num_messages=2_000)
    assert waits.turned_away == pytest.approx(0.9, abs=0.03) and waits.used > 0.95


def test_more_servers_are_needed_for_more_messages_and_they_are_enough():
    rates = Rates({1: 100.0, 8: 400.0}, 0.01)
    found = [needed(Load(rate, 50, 20), rates, slots=8, queue=16, first_s=1.0) for rate in (4, 40)]
    assert found[0] == 1 and 5 <= found[1] <= 15  # 40 messages/s x 50 tokens at 400 tokens/s are five at the least
    waits = simulate(Load(40, 50, 20), rates, found[1], slots=8, queue=16)
    assert np.percentile(waits.first, 95) <= 1.0
    with pytest.raises(InputError, match="even alone"):
        needed(Load(4, 50, 200), rates, slots=8, queue=16, first_s=1.0)


@pytest.mark.parametrize("text", ["", "1", "1:x", "0:5", "1:-3", "1:nan", "1:2:3"])
def test_rates_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--rates"):
        parse_rates(text)


def test_capacity_prints_what_is_needed_and_what_it_costs(capsys):
    assert cli.main("bench capacity --rate 4 --rates 1:100,8:400 --reply-tokens 50 --slots 8 --price 2".split()) == 0
    told = capsys.readouterr().out
    assert "100 with 1, 400 with 8 (given)" in told and "enough" in told and "2.00 an hour, 1,440 a month" in told
    assert cli.main("bench capacity --rate 0 --rates 1:100".split()) == 2
    assert "--rate must be more than 0" in capsys.readouterr().err


def test_rates_are_measured_with_the_bundled_writer(writer, assistant):
    *_, reply = assistant.reply(Conversation(), "a cosy board game for two", Sampling(seed=1))
    assert all(capacity._together(writer, [reply.messages], size, num_tokens=8) > 5 for size in (1, 3))


# A GPU's table


def test_random_models_write_numbers_and_are_held_to_the_model_itself(capsys):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 1200}  # fmt: skip
    model, tokenizer = speed_cuda.randomly_initialised(sizes, "cpu")
    engine, prompts = LocalEngine.of(model, tokenizer, name="random"), speed_cuda.number_prompts(16, highest=1000)
    assert {len(engine.prompt_ids(prompt)) for prompt in prompts} == {420}
    assert shared_length(*map(engine.prompt_ids, prompts[:2])) == 150
    text = "".join(engine.stream(prompts[0], Sampling(seed=1, max_new_tokens=6)))
    assert engine.count_tokens(text) == len(text.split()) == 6
    speed_cuda.check(engine, model, prompts, num_new=2)
    same = [float(share) for share in re.findall(r"likeliest token ([\d.]+) %", capsys.readouterr().out)]
    assert len(same) == 3 and min(same) >= 90
    with speed_cuda.guessing(False):
        assert scheduler._NUM_GUESSED == 0
    assert scheduler._NUM_GUESSED > 0


def test_without_a_device_its_table_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cli.main(["bench", "speed", "--device", "cuda"]) == 2
    assert "No CUDA device" in capsys.readouterr().err
    assert cli.main("bench speed --device cuda --models bundled,Qwen9".split()) == 2
    assert "no Qwen9 to measure; choose among bundled, Qwen3-0.6B" in capsys.readouterr().err
