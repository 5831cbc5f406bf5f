"""The command line: help, usage, exit statuses."""

from pathlib import Path

import pytest

from fraudd.cli import main


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(command in told for command in ("serve", "check", "train", "dlq", "token", "demo"))


@pytest.mark.parametrize("command", ["serve", "check", "train", "demo"])
def test_each_subcommand_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert len(capsys.readouterr().out) > 200


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["serve"],
        ["serve", "--confg", "x"],
        ["check"],
        ["check", "--config", "x", "--entity", "no such name"],
        ["demo", "--scale", "0"],
        ["demo", "--scale", "nan"],
        ["train", "--config", "x", "--labels", "y", "--label-delay-days", "-1"],
        ["dlq"],
        ["dlq", "ls"],
        ["dlq", "redrive", "--config", "x", "--limit", "0"],
        ["dlq", "purge", "--config", "x", "--entity", "no such name"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


def test_a_wrong_configuration_is_status_78_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fraudd.toml"
    path.write_text("[htp]\n")
    assert main(["serve", "--config", str(path)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert f"fraudd: {path}:1: [htp]: unknown section; did you mean http?" in lines
    assert f"fraudd: {path}: [queue]: missing" in lines


def test_the_demo_runs_in_a_checkout_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 78
    assert "no checkout of fraudd" in capsys.readouterr().err
