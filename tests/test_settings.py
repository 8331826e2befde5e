"""Settings come from the environment, then from options; what is not a number is told."""

import pytest

from genrec.errors import SettingsError
from genrec.settings import Settings, from_env


def test_an_empty_environment_gives_the_defaults():
    assert from_env({}) == Settings()
    assert from_env({"GENREC_MODEL": "  ", "GENREC_PORT": "", "PATH": "/bin"}) == Settings()


def test_every_field_can_be_set_by_its_variable():
    texts = {name: "7" if isinstance(value, int) else f"my-{name}" for name, value in vars(Settings()).items()}
    settings = from_env({f"GENREC_{name.upper()}": f" {text} " for name, text in texts.items()})
    assert {name: str(value) for name, value in vars(settings).items()} == texts
    assert isinstance(settings.port, int)


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "80 80", "0x10"])
def test_a_number_that_is_none_is_an_error_that_names_the_variable(text):
    with pytest.raises(SettingsError, match="GENREC_PORT.*whole number"):
        from_env({"GENREC_PORT": text})


def test_a_hugging_face_space_is_reachable_from_outside_unless_told_otherwise():
    assert from_env({}).host == "127.0.0.1"
    assert from_env({"SPACE_ID": "me/genrec"}).host == "0.0.0.0"
    assert from_env({"SPACE_ID": "me/genrec", "GENREC_HOST": "10.0.0.1"}).host == "10.0.0.1"


def test_a_space_has_a_limit_for_each_visitor_and_one_proxy_in_front_unless_told_otherwise():
    assert (from_env({}).rate_limit, from_env({}).proxies) == (0, 0)
    space = from_env({"SPACE_ID": "me/genrec"})
    assert space.rate_limit > 0 and space.proxies == 1
    assert from_env({"SPACE_ID": "me/genrec", "GENREC_RATE_LIMIT": "0"}).rate_limit == 0


def test_options_replace_settings_only_where_they_are_given():
    settings = Settings(model="bundled", port=9000)
    changed = settings.with_options(model=None, engine_url="", catalogue="mine.csv", port=0)
    assert (changed.model, changed.engine_url, changed.catalogue, changed.port) == ("bundled", "", "mine.csv", 0)
    assert settings.catalogue == ""
