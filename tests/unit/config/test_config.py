"""The configuration file: what it may say, and how its mistakes are told."""

import re
import tomllib
from pathlib import Path

import pytest

from fraudd.config import Config, load
from fraudd.config.problems import allowed_range
from fraudd.config.secrets import credential
from fraudd.errors import Misconfigured
from tests.stack.paths import ROOT

SHIPPED = ROOT / "config" / "fraudd.toml"
MINIMAL = """\
[aws]
region = "eu-central-1"
[queue]
url = "http://q"
[topics]
requests_arn = "arn:r"
completions_arn = "arn:c"
[results]
table = "t"
[database]
host = "127.0.0.1"
user = "u"
name = "shop"
[features]
directory = "features"
[model]
path = "/models/model.ubj"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "fraudd.toml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        load(write(folder, text))
    return [problem.removeprefix(f"{folder}/") for problem in refused.value.problems]


def test_the_shipped_file_loads() -> None:
    assert load(SHIPPED).http.listen == "127.0.0.1:8080"


def test_the_shipped_file_shows_every_key_with_its_default() -> None:
    uncommented = re.sub(r"(?m)^# (\w+ = )", r"\1", SHIPPED.read_text())
    shown = tomllib.loads(uncommented)
    fields = {name: field.annotation for name, field in Config.model_fields.items()}
    assert shown.keys() == fields.keys()
    for section, annotation in fields.items():
        assert annotation is not None
        assert shown[section].keys() == annotation.model_fields.keys(), section
        for key, field in annotation.model_fields.items():
            if not field.is_required() and field.default is not None:
                assert shown[section][key] == field.default, f"[{section}] {key}"


def comments() -> dict[tuple[str, str], str]:
    """The comment above each key of the shipped file. Neighbouring keys share one."""
    section, comment, shown = "", "", {}
    for line in SHIPPED.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section, comment = header[1], ""
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            shown[section, key[1]] = comment
        elif not line:
            comment = ""
        elif "# Range: " in line and "Range: " in comment:
            comment = line
        else:
            comment = f"{comment} {line.removeprefix('# ')}"
    return shown


def keys() -> list[tuple[str, str]]:
    return [
        (section, key)
        for section, field in Config.model_fields.items()
        for key in (field.annotation.model_fields if field.annotation is not None else ())
    ]


@pytest.mark.parametrize(("section", "key"), keys())
def test_the_shipped_file_says_the_range_of_a_key(section: str, key: str) -> None:
    expected = allowed_range(Config, section, key)
    stated = re.findall(r"Range: ([^.]+)\.(?: |$)", comments()[section, key])
    assert stated == ([] if expected is None else [expected])


@pytest.mark.parametrize(("section", "key"), keys())
def test_the_shipped_file_says_the_default_that_a_key_does_not_show(section: str, key: str) -> None:
    annotation = Config.model_fields[section].annotation
    assert annotation is not None
    field = annotation.model_fields[key]
    unset = not field.is_required() and field.default is None
    assert ("Default: " in comments()[section, key]) == unset


def test_the_shipped_file_says_what_a_reload_reads_again() -> None:
    marked = {key for key, comment in comments().items() if re.search(r"\bReloaded\b", comment)}
    assert marked == {("http", "tokens_credential"), ("features", "directory"), ("model", "path")}


def test_a_time_zone_is_an_offset_or_a_name(tmp_path: Path) -> None:
    for zone in ("+09:00", "Asia/Tokyo", "UTC"):
        text = MINIMAL.replace('user = "u"', f'user = "u"\ntime_zone = "{zone}"')
        assert load(write(tmp_path, text)).database.time_zone == zone
    [told] = problems(tmp_path, MINIMAL.replace('user = "u"', 'user = "u"\ntime_zone = "9"'))
    assert told.endswith("must be an offset or a zone, for example +09:00 or Asia/Tokyo")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('region = "EU Central"', "must be a region name, for example eu-central-1"),
        (
            'region = "x"\nendpoint_url = "127.0.0.1:4566"',
            "must be a URL, for example http://127.0.0.1:4566",
        ),
        (
            'region = "x"\nendpoint_url = "http://"',
            "must be a URL, for example http://127.0.0.1:4566",
        ),
    ],
)
def test_an_aws_that_no_client_could_be_made_for_is_told(
    tmp_path: Path, line: str, says: str
) -> None:
    [told] = problems(tmp_path, MINIMAL.replace('region = "eu-central-1"', line))
    assert told.startswith("fraudd.toml:")
    assert told.endswith(says)


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    config = load(write(tmp_path, MINIMAL))
    assert config.consumer_count == config.database.max_connections + 1
    assert config.database.loopback


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = MINIMAL.replace('user = "u"', 'user = "u"\npassword_credential = "secrets/db"')
    config = load(write(tmp_path, text))
    assert config.features.directory == tmp_path / "features"
    assert config.model.path == Path("/models/model.ubj")
    assert config.database.password_credential == str(tmp_path / "secrets" / "db")


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ("busy_threads = 2", "busy_threads (2) must exceed [consumers] fleet_size times"),
        ("max_connections = 100\nbusy_threads = 50", "busy_threads (50) must exceed"),
        (
            "iam_auth = true",
            "iam_auth needs TLS, and a loopback address has none: use it with RDS only",
        ),
        ('iam_auth = true\npassword_credential = "p"', "exclude each other: remove one"),
    ],
)
def test_database_terms_that_cannot_work_together_are_refused(
    tmp_path: Path, database: str, says: str
) -> None:
    [told] = problems(tmp_path, MINIMAL.replace('user = "u"', f'user = "u"\n{database}'))
    assert says in told


def test_what_a_busy_server_is_leaves_room_for_all_daemons(tmp_path: Path) -> None:
    assert load(write(tmp_path, MINIMAL)).busy_threads == 50
    fleet = MINIMAL.replace('user = "u"', 'user = "u"\nmax_connections = 10')
    fleet += "[consumers]\nfleet_size = 10\n"
    assert load(write(tmp_path, fleet)).busy_threads == 200


def test_all_mistakes_are_told_at_once_with_line_key_and_remedy(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        'host = "127.0.0.1"', "port = 99999\nmax_conections = 3\nidle_seconds = 0"
    )
    text = text.replace('table = "t"', "").replace("[model]", "[modell]") + '[extra]\nlevel = "x"\n'
    told = problems(tmp_path, text)
    assert "fraudd.toml:8: [results] table: missing" in told
    assert "fraudd.toml:10: [database] host: missing" in told
    assert "fraudd.toml:11: [database] port = '99999': must be 1 to 65535" in told
    assert (
        "fraudd.toml:12: [database] max_conections: unknown key; did you mean max_connections?"
        in told
    )
    assert "fraudd.toml:13: [database] idle_seconds = '0': must be above 0, up to 86400" in told
    assert "fraudd.toml:18: [modell]: unknown section; did you mean model?" in told
    assert "fraudd.toml:20: [extra]: unknown section" in told
    assert "fraudd.toml: [model]: missing" in told


def test_the_value_of_an_unknown_key_is_not_shown(tmp_path: Path) -> None:
    text = MINIMAL.replace('user = "u"', 'user = "u"\npassword = "hunter2"')
    told = problems(tmp_path, text)
    assert len(told) == 1
    assert "hunter2" not in told[0]


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "8080", "localhost:80", "127.0.0.1:99999", "::"])
def test_without_tokens_only_loopback_can_be_listened_on(tmp_path: Path, listen: str) -> None:
    [told] = problems(tmp_path, f'[http]\nlisten = "{listen}"\n{MINIMAL}')
    assert told.startswith("fraudd.toml:2: [http] listen = ")


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.0.2.1:8080"])
def test_with_tokens_any_address_can_be_listened_on(tmp_path: Path, listen: str) -> None:
    http = f'[http]\nlisten = "{listen}"\ntokens_credential = "secrets/tokens"\n'
    config = load(write(tmp_path, http + MINIMAL))
    assert config.http.address[1] in (80, 8080)
    assert config.http.tokens_credential == str(tmp_path / "secrets" / "tokens")


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:8080", ("::1", 8080))],
)
def test_both_families_of_loopback_can_be_listened_on(
    tmp_path: Path, listen: str, address: tuple[str, int]
) -> None:
    config = load(write(tmp_path, f'[http]\nlisten = "{listen}"\n{MINIMAL}'))
    assert config.http.address == address


def test_a_file_that_is_not_toml_or_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    assert problems(tmp_path, "[http\n")[0].startswith("fraudd.toml: not TOML: ")
    with pytest.raises(Misconfigured, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")


def test_a_credential_comes_from_systemds_folder_or_from_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "database-password").write_text("hunter2 \n")
    assert credential(f"{tmp_path}/database-password") == "hunter2 "
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert credential("database-password") == "hunter2 "
    assert credential(None) == ""
    with pytest.raises(Misconfigured, match="credential other: cannot read"):
        credential("other")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="binary is not UTF-8 text"):
        credential("binary")


def test_a_credential_without_a_secret_is_told_apart_from_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit puts an empty one in the place of a file that is not there."""
    (tmp_path / "database-password").write_text("\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(
        Misconfigured, match=r"credential database-password: empty\. Write the secret into"
    ):
        credential("database-password")
    assert credential(f"{tmp_path}/database-password") == ""


def test_a_named_credential_needs_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Misconfigured, match="LoadCredential=database-password"):
        credential("database-password")
