"""The part of ``fraudd check`` that looks at secrets: files, tokens, AWS credentials."""

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from fraudd.aws import credentials
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.config import Config
from fraudd.config.secrets import credential, credential_path
from fraudd.web.auth import SCOPES, Token
from fraudd.wiring import aws_terms, tokens

#: Where systemd puts credentials: only the service reaches them, by an access list, which shows
#: as rights of the group.
_SYSTEMD = Path("/run/credentials")


def see_tokens(settings: Config, findings: Findings) -> None:
    """Look at the file of tokens, if callers need any."""
    name = settings.http.tokens_credential
    if name is None:
        listen = settings.http.listen
        findings.add(ok(f"tokens: none; anybody on this machine may call {listen}"))
        return
    with findings.caught("tokens: "):
        findings.add(*judge_mode("tokens", *_found(name)))
        parsed = tokens(settings)
        assert parsed is not None, "there is a file"
        findings.add(*judge_tokens(parsed))


def see_password(settings: Config, findings: Findings) -> bool:
    """Look at what the account logs in with; tells whether it can be tried."""
    if settings.database.iam_auth:
        findings.add(ok("password: none; a token of RDS, signed with the AWS credentials"))
        return True
    name = settings.database.password_credential
    if name is None:
        findings.add(
            warning(
                f"password: the account {settings.database.user} logs in without one: give it one,"
                " and name its file in [database] password_credential"
            )
        )
        return True
    text = ""
    with findings.caught("password: "):
        path, mode = _found(name)
        text = credential(name)
        findings.add(*judge_mode("password", path, mode), judge_password(path, text))
    return bool(text)


async def see_aws_credentials(settings: Config, clients: Clients, findings: Findings) -> bool:
    """Look at the AWS credentials, and whether AWS knows them; tells whether to go on with them."""
    terms = aws_terms(settings)
    if terms.placeholders:
        source = f"placeholders, for what is at {terms.where} is an emulator"
    else:
        source = None
        with findings.caught():
            source = await credentials.source()
            if source is None:
                findings.add(
                    failed(
                        "AWS credentials: none: give the instance a role, or set AWS_ACCESS_KEY_ID"
                        " and AWS_SECRET_ACCESS_KEY"
                    )
                )
        if source is None:
            return False
    refusal = await credentials.not_accepted(clients, settings.results.table)
    if refusal is not None:
        findings.add(
            failed(
                f"AWS credentials: not accepted ({source}): {refusal}: renew them, look at this"
                " machine's clock, and at [aws] region"
            )
        )
        return False
    findings.add(ok(f"AWS credentials: {source}"))
    if not terms.placeholders and (terms.endpoint_url or "").startswith("http:"):
        findings.add(
            warning(f"AWS credentials: are used at {terms.endpoint_url} without TLS: use https")
        )
    return True


def judge_mode(label: str, path: Path, mode: int) -> Iterator[Finding]:
    """Judge who may read a secret's file, by its mode."""
    if path.is_relative_to(_SYSTEMD):
        return
    if mode & stat.S_IRWXO:
        yield failed(f"{label}: anybody on this machine may open {path}: chmod 600 {path}")
    elif mode & stat.S_IRWXG:
        yield warning(f"{label}: others of its group may open {path}: chmod 600 {path}")


def judge_password(path: Path, text: str) -> Finding:
    """Judge what a password's file says, without the end of its line."""
    if not text:
        return failed(f"password: {path} is empty: write the account's password into it")
    if text != text.strip() or "\n" in text:
        return warning(
            f"password: {path} has blanks at its ends, or several lines; all of it is the password,"
            " but for the end of the last line"
        )
    return ok(f"password: in {path}")


def judge_tokens(tokens: Iterable[Token]) -> Iterator[Finding]:
    """Say who may do what, and what nobody may."""
    held: set[str] = set()
    told = []
    for token in tokens:
        held |= token.scopes
        told.append(f"{token.name} ({', '.join(one for one in SCOPES if one in token.scopes)})")
    yield ok(f"tokens: {', '.join(told)}")
    if "request" not in held:
        yield warning(
            "tokens: none has the scope request, so that nobody can ask over HTTP: fraudd token new"
            " NAME --scope read,request"
        )


def _found(name: str) -> tuple[Path, int]:
    """Where a secret is, and its mode; 0 where that cannot be read, which reading it will tell."""
    path = credential_path(name)
    try:
        return path, path.stat().st_mode
    except OSError:
        return path, 0
