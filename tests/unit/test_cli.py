"""The command line: help, usage, exit statuses."""

import argparse
import importlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudd.cli import COMMANDS, _parser, main
from fraudd.commands.check import command as check

#: Actions of subcommands; each has a help of its own.
ACTIONS = (["token", "new"], ["dlq", "ls"], ["dlq", "redrive"], ["dlq", "purge"])


def test_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert all(command in told for command in COMMANDS)


@pytest.mark.parametrize("words", [*([name] for name in COMMANDS), *ACTIONS], ids=" ".join)
def test_each_subcommand_explains_itself_with_examples(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert len(text) > 150
    examples = text.partition("\nexamples:\n")[2].splitlines()
    assert 2 <= len(examples) <= 3
    for example in examples:
        assert f"fraudd {words[0]}" in example or "systemctl" in example


@pytest.mark.parametrize("name", COMMANDS)
def test_each_argument_is_explained_in_three_words_or_more(name: str) -> None:
    for parser in _parsers(name):
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction):
                continue
            if isinstance(action, argparse._SubParsersAction):
                helps = [choice.help for choice in action._choices_actions]
            else:
                helps = [action.help]
            for text in helps:
                assert text is not None, action.dest
                assert len(text.split()) >= 3, text
                first = text.split()[0].lower()
                assert first not in ("of", "as", "to", "with", "from", "in", "it", "this", "that")


def _parsers(name: str) -> Iterator[argparse.ArgumentParser]:
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[name].module).add_arguments(parser)
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def test_the_example_of_each_help_is_accepted() -> None:
    for name in COMMANDS:
        for parser in _parsers(name):
            for example in (parser.epilog or "").splitlines()[1:]:
                words = shlex.split(example.partition(" < ")[0])
                while "=" in words[0]:
                    del words[0]
                if words[0] == "fraudd" and "--help" not in words:
                    _parser(words[1:]).parse_args(words[1:])


def test_an_instance_is_checked_with_its_files_and_its_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "INSTANCES", tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "elsewhere")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "fraudd.toml").write_text("[htp]\n")
    assert main(["check", "shop"]) == 78
    assert f"{tmp_path}/shop/fraudd.toml:1: [htp]: unknown section" in capsys.readouterr().err
    assert os.environ["CREDENTIALS_DIRECTORY"] == f"{tmp_path}/shop"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["serve"],
        ["serve", "--confg", "x"],
        ["check"],
        ["check", "shop", "--config", "x"],
        ["check", "../shop"],
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
        (["--url", "127.0.0.1:8080"], "the URL must be like http://127.0.0.1:8080"),
        (["--url", "http://u:hunter2@h"], "the URL must have no user, password"),
        (["--token-file", "gone"], "--token-file: cannot read gone: No such file"),
        (["--token-file", "two"], "the token is empty or has invalid characters"),
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
    assert "is not a checkout of fraudd" in capsys.readouterr().err


def test_a_closed_pipe_ends_a_command_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from fraudd.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        (sys.executable, "-c", code, "token", "new", "shop", "--scope", "read"),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
