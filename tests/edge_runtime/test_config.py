from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.deciding.decide import Costs
from edge_runtime.errors import ConfigError, InputError
from edge_runtime.records import BeltDirection
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.config_file import load_costs, load_line_config
from edge_runtime.settings.decision_settings import PolicySettings


def load(tmp_path: Path, text: str) -> LineConfig:
    path = tmp_path / "line.toml"
    path.write_text(text)
    return load_line_config(path)


def test_every_key_has_a_default(tmp_path: Path) -> None:
    assert load(tmp_path, "") == LineConfig()
    assert LineConfig().policy is None


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [belt]
        direction = "left"
        mm_per_px = 1
        lanes = 2
        [localize]
        downscale = 4
        sensitivity = 1.5
        min_diameter_px = 20
        [track]
        min_views = 2
        [decide]
        rho = 0.3
        decide_at = 0.5
        [policy.costs.ripe]
        ACCEPT = 0
        DIVERT = 1
        UNDECIDED = 0.5
        """,
    )
    assert (config.belt.direction, config.belt.mm_per_px, config.belt.lanes) == (BeltDirection.LEFT, 1.0, 2)
    assert (config.localize.downscale, config.track.min_views, config.decide.rho) == (4, 2, 0.3)
    assert config.policy is not None
    assert config.policy.costs is not None
    assert config.policy.costs["ripe"].UNDECIDED == 0.5


def test_accepted_labels_are_read(tmp_path: Path) -> None:
    policy = load(tmp_path, '[policy]\naccept = ["ripe", "turning"]').policy
    assert policy is not None
    assert policy.accept == ("ripe", "turning")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[belt]\ndirecton = 'left'", r"unknown key belt\.directon; did you mean direction\?"),
        ("[bel]\nlanes = 1", r"unknown key bel; did you mean belt\?"),
        ("[ejector]\nat_mm = 1", r"there may be more than one ejector: write \[\[ejector\]\], with two brackets"),
        ("[track]\nzzz = 1", r"unknown key track\.zzz; known here: min_views"),
        ("[policy.costs.ripe]\nACEPT = 1\nDIVERT = 1\nUNDECIDED = 1", r"ACEPT; did you mean ACCEPT\?"),
        ("[policy.costs.ripe]\nACCEPT = 1\nDIVERT = 1", r"policy\.costs\.ripe\.UNDECIDED is missing"),
        ("[policy.costs.ripe]\nACCEPT = -1\nDIVERT = 1\nUNDECIDED = 1", r"greater than or equal to 0 \(found -1\)"),
        ("[policy]\naccept = []", r":2:1: policy\.accept must not be empty"),
        ("[policy]", "either accept or costs"),
        ("[policy]\naccept = ['a']\n[policy.costs.a]\nACCEPT=1\nDIVERT=1\nUNDECIDED=1", "either accept or costs"),
        ("[belt]\nmm_per_px = 0", r"belt\.mm_per_px: input should be greater than 0 \(found 0\)"),
        ("[belt]\nmm_per_px = nan", r"belt\.mm_per_px.*finite"),
        ("[belt]\nmm_per_px = '0.5'", r"belt\.mm_per_px.*valid number"),
        ("[belt]\ndirection = 'sideways'", r"belt\.direction: input should be 'right', 'left'"),
        ("[belt]\nlanes = 1.5", r"belt\.lanes.*integer"),
        ("[belt]\nlanes = 2026-01-01", r"belt\.lanes"),
        ("[decide]\nrho = 0", r"decide\.rho"),
        ("[localize]\nmin_diameter_px = 50\nmax_diameter_px = 40", "smaller than max_diameter_px"),
        ("belt = 3", "belt"),
        ("[belt", r":1:6: Expected '\]' .*valid TOML"),
        ("[belt]\nlanes = 1\nlanes = 2\n", r":3:10: this key is there already"),
        ("[belt]\nlanes = 1\nlanes = 2", r":3:10: this key is there already"),
    ],
)
def test_a_mistake_is_refused_with_file_key_and_expectation(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)line\\.toml.*{message}"):
        load(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[belt]\nlanes = 0\n[track]\nmin_views = 0")
    assert "belt.lanes" in str(caught.value)
    assert "track.min_views" in str(caught.value)


def test_a_list_with_one_wrong_element_is_not_called_empty_as_well(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[belt]\ncolours = [[300, 1, 2]]")
    assert str(caught.value).count("\n") == 0
    assert "belt.colours.1.1: input should be less than or equal to 255 (found 300)" in str(caught.value)


def test_missing_unreadable_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_line_config(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_line_config(tmp_path)
    (tmp_path / "line.toml").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ConfigError, match="not a text file"):
        load_line_config(tmp_path / "line.toml")


def test_costs_are_a_table_a_label(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(
        "[ripe]\nACCEPT = 0\nDIVERT = 1.5\nUNDECIDED = 0.2\n[unripe]\nACCEPT = 8\nDIVERT = 0\nUNDECIDED = 1\n"
    )
    assert load_costs(path) == {
        "ripe": Costs(ACCEPT=0, DIVERT=1.5, UNDECIDED=0.2),
        "unripe": Costs(ACCEPT=8, DIVERT=0, UNDECIDED=1),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no label"),
        ("[ripe]\nACCEPT = 0\nDIVERT = 1", "ripe.UNDECIDED is missing"),
        ("[ripe]\nACCEPT = 0\nDIVRET = 1\nUNDECIDED = 1", "unknown key ripe.DIVRET; did you mean DIVERT?"),
        ("[ripe]\nACCEPT = -1\nDIVERT = 1\nUNDECIDED = 1", "ripe.ACCEPT: input should be greater than or equal to 0"),
        ("[ripe]\nACCEPT = '0'\nDIVERT = 1\nUNDECIDED = 1", "ripe.ACCEPT: input should be a valid number"),
        ("ripe = 1", "ripe: input should be"),
        ("[ripe", "Expected ']'"),
    ],
)
def test_wrong_costs_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_costs(path)
    assert str(path) in caught.value.what
    assert message in caught.value.what


def test_costs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"costs\.toml: no such file") as caught:
        load_costs(tmp_path / "costs.toml")
    assert "--costs" in str(caught.value.remedy)


def test_settings_become_a_policy_for_the_model_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(
        "[ripe]\nACCEPT = 0\nDIVERT = 1\nUNDECIDED = 0.2\n[unripe]\nACCEPT = 6\nDIVERT = 0\nUNDECIDED = 0.2\n"
    )
    settings = PolicySettings(costs=load_costs(path))
    assert settings.policy(("unripe", "ripe"), "costs.toml").accepted() == ("ripe",)
    assert PolicySettings(accept=("unripe",)).policy(("unripe", "ripe"), "a").accepted() == ("unripe",)
    with pytest.raises(InputError, match="no costs for turning"):
        settings.policy(("unripe", "turning", "ripe"), "costs.toml")


REPORT = '[[report]]\nname = "plant"\n'


def test_receivers_are_read(tmp_path: Path) -> None:
    config = load(tmp_path, 'name = "north"\n' + REPORT + '[report.mqtt]\nhost = "broker"\n[health]\nport = 9464\n')
    assert (config.name, config.health.port) == ("north", 9464)
    assert [(one.name, one.kind) for one in config.report] == [("plant", "mqtt")]
    assert config.report[0].mqtt is not None
    assert config.report[0].mqtt.tls


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('name = "a/b"', "1:1", "name"),
        (REPORT, "1:3", "exactly one of mqtt, opcua, jsonl"),
        (REPORT + '[report.jsonl]\nfile = "a"\n[report.opcua]\n', "1:3", "exactly one of"),
        (REPORT + '[report.mqtt]\nhots = "b"', "4:1", "did you mean host"),
        (REPORT + '[report.mqtt]\nhost = "b"\ntopic = "a/#"', "5:1", "topic"),
        (REPORT + '[report.mqtt]\nhost = "b"\nport = 70000', "5:1", "port"),
        (2 * (REPORT + "[report.opcua]\n"), "", "two reports are named plant"),
        ("[journal]\nkeep_days = 0", "2:1", "greater than 0"),
    ],
)
def test_what_is_wrong_with_receivers_is_named_with_its_place(tmp_path: Path, text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as failed:
        load(tmp_path, text)
    assert f"line.toml:{where}" in failed.value.what or not where
    assert what in failed.value.what
