"""Settings from the environment."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from hearthmind.settings import BadSetting, Broker, Flow, Telemetry, as_environment, load, sourced


class Example(msgspec.Struct, frozen=True):
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    names: tuple[str, ...] = ("a",)


class Filed(msgspec.Struct, frozen=True):
    file: str = ""


def test_defaults_are_overridden_by_the_environment() -> None:
    environ = {"HEARTHMIND_EXAMPLE__SHARE": "0.25", "HEARTHMIND_EXAMPLE__NAMES": "b, c"}
    assert load("example", Example, environ) == Example(0.25, ("b", "c"))
    assert load("example", Example, {}) == Example()


def test_standard_names_count_and_ours_come_first() -> None:
    assert load("broker", Broker, {"NATS_URL": "nats://a:1"}).url == "nats://a:1"
    both = {"NATS_URL": "nats://a:1", "HEARTHMIND_BROKER__URL": "nats://b:2"}
    assert load("broker", Broker, both).url == "nats://b:2"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("HEARTHMIND_EXAMPLE__SHARE", "2", "<= 1"),
        ("HEARTHMIND_EXAMPLE__SHARE", "much", "'much'"),
        ("HEARTHMIND_EXAMPLE__SHAER", "1", "HEARTHMIND_EXAMPLE__SHARE"),
    ],
)
def test_what_does_not_fit_is_named(key: str, value: str, words: str) -> None:
    with pytest.raises(BadSetting) as raised:
        load("example", Example, {key: value})
    assert key in str(raised.value)
    assert words in str(raised.value)


@pytest.mark.parametrize(("section", "settings"), [("flow", Flow(partitions=3)), ("telemetry", Telemetry(folder="x"))])
def test_settings_pass_through_an_environment(section: str, settings: msgspec.Struct) -> None:
    assert load(section, type(settings), as_environment(section, settings)) == settings


def test_secrets_are_not_shown() -> None:
    shown = {each.name: each for each in sourced("broker", Broker, {"HEARTHMIND_BROKER__PASSWORD": "hush"})}
    assert shown["password"].value == "(set)"
    assert shown["password"].source == "HEARTHMIND_BROKER__PASSWORD"
    assert shown["url"].source == "default"


def test_a_setting_that_is_called_file_is_a_name_and_one_with_file_behind_it_is_read(tmp_path: Path) -> None:
    rewards, said = tmp_path / "rewards.yaml", tmp_path / "said"
    rewards.write_text("castle: {}")
    said.write_text(f"{rewards}\n")
    assert load("filed", Filed, {"HEARTHMIND_FILED__FILE": str(rewards)}).file == str(rewards)
    assert load("filed", Filed, {"HEARTHMIND_FILED__FILE_FILE": str(said)}).file == str(rewards)
