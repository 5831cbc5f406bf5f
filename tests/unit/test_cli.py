"""The command line: help, usage, exit statuses."""

from pathlib import Path

import pytest

from fraudd.cli import main

COMMANDS = ("serve", "check", "request", "result", "backfill", "train", "dlq", "token", "demo")


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(command in told for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_subcommand_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert len(capsys.readouterr().out) > 150


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["serve"],
        ["serve", "--confg", "x"],
        ["check"],
        ["check", "--config", "x", "--entity", "no such name"],
        ["request"],
        ["request", "no such name"],
        ["request", "shop-1", "--wait", "-1"],
        ["request", "shop-1", "--max-age", "nan"],
        ["result"],
        ["result", "shop-1", "--wait", "1"],
        ["backfill"],
        ["backfill", "ids", "--rate", "0"],
        ["backfill", "ids", "--concurrency", "0"],
        ["backfill", "ids", "--concurrency", "100001"],
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


@pytest.mark.parametrize("command", ["request", "result"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "127.0.0.1:8080"], "the URL must be as http://127.0.0.1:8080"),
        (["--url", "http://u:hunter2@h"], "the URL must have no user, password"),
        (["--token-file", "gone"], "--token-file: cannot read gone: No such file"),
        (["--token-file", "two"], "the token has characters that no token has"),
    ],
)
def test_a_daemon_that_cannot_be_called_is_status_2(
    command: str,
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two").write_text("frd-one\nfrd-two\n")
    assert main([command, "shop-1", *arguments]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "hunter2" not in told
    assert "frd-" not in told


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
