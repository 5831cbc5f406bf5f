"""Checks of secrets: credential files, tokens, AWS credentials."""

import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fraudd.aws import credentials
from fraudd.aws.endpoints import SERVICES, is_loopback
from fraudd.aws.session import Clients
from fraudd.commands.check.findings import Finding, Findings, failed, ok, warning
from fraudd.config import Config
from fraudd.config.secrets import credential, credential_path
from fraudd.web.tokens import SCOPES, Token
from fraudd.wiring import tokens

#: systemd puts credentials here. An access list restricts them to the service. In the mode of a
#: file, this list looks like rights of the group.
_SYSTEMD_CREDENTIALS = Path("/run/credentials")


def check_tokens(settings: Config, findings: Findings) -> None:
    """Check the token file, if clients need tokens."""
    name = settings.http.tokens_credential
    if name is None:
        listen = settings.http.listen
        findings.add(ok(f"tokens: none; every process on this machine may call {listen}"))
        return
    with findings.caught("tokens: "):
        findings.add(*judge_mode("tokens", *_file_mode(name)))
        parsed = tokens(settings)
        assert parsed is not None, "tokens_credential is set"
        findings.add(*judge_tokens(parsed))


def check_password(settings: Config, findings: Findings) -> bool:
    """Check the password of the account, and return whether a login makes sense."""
    if settings.database.iam_auth:
        findings.add(ok("password: none; RDS tokens, signed with the AWS credentials"))
        return True
    name = settings.database.password_credential
    if name is None:
        findings.add(
            warning(
                f"password: the account {settings.database.user} has no password",
                fix="set a password, and name its file in [database] password_credential",
            )
        )
        return True
    text = ""
    with findings.caught("password: "):
        path, mode = _file_mode(name)
        text = credential(name)
        findings.add(*judge_mode("password", path, mode), judge_password(path, text))
    return bool(text)


async def check_aws_credentials(settings: Config, clients: Clients, findings: Findings) -> bool:
    """Check whether AWS accepts the credentials, and return whether to go on with them."""
    emulators = _emulators(clients.endpoints)
    if len(emulators) == len(SERVICES):
        where = ", ".join(sorted(set(emulators.values())))
        source: str | None = f"placeholders, because {where} is an emulator"
    else:
        source = None
        with findings.caught():
            source = await credentials.source()
            if source is None:
                findings.add(
                    failed(
                        "AWS credentials: none",
                        fix="attach a role to the instance, or set AWS_ACCESS_KEY_ID and"
                        " AWS_SECRET_ACCESS_KEY",
                    )
                )
        if source is None:
            return False
    refusal = await credentials.not_accepted(clients, settings.results.table)
    if refusal is not None:
        findings.add(
            failed(
                f"AWS credentials: AWS does not accept them ({source}): {refusal}",
                fix="renew them; check this machine's clock and [aws] region",
            )
        )
        return False
    findings.add(ok(f"AWS credentials: {source}"))
    findings.add(*judge_endpoints(clients.endpoints))
    return True


def judge_endpoints(endpoints: Mapping[str, str]) -> Iterator[Finding]:
    """Judge the endpoint of each service that does not call the public one of the region."""
    emulators = _emulators(endpoints)
    for service in sorted(emulators) if len(emulators) < len(SERVICES) else ():
        yield warning(
            f"AWS credentials: {service} is an emulator ({endpoints[service]}), other services"
            " are not",
            fix="set [aws] endpoint_url for all, or unset AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_*",
        )
    others = {url for service, url in endpoints.items() if service not in emulators}
    for url in sorted(url for url in others if url.startswith("http:")):
        yield warning(
            f"AWS credentials: sent to {url} without TLS",
            fix="use https in [aws] endpoint_url, AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_*",
        )


def _emulators(endpoints: Mapping[str, str]) -> Mapping[str, str]:
    """Return the endpoints on this machine, by service."""
    return {service: url for service, url in endpoints.items() if is_loopback(url)}


def judge_mode(label: str, path: Path, mode: int) -> Iterator[Finding]:
    """Judge who may read a secret's file, by its mode."""
    if path.is_relative_to(_SYSTEMD_CREDENTIALS):
        return
    if mode & stat.S_IRWXO:
        yield failed(
            f"{label}: every user of this machine may open {path}", fix=f"chmod 600 {path}"
        )
    elif mode & stat.S_IRWXG:
        yield warning(f"{label}: the group of {path} may open it", fix=f"chmod 600 {path}")


def judge_password(path: Path, text: str) -> Finding:
    """Judge the content of a password file, without its last line break."""
    if not text:
        return failed(f"password: {path} is empty", fix="write the account's password into it")
    if text != text.strip() or "\n" in text:
        return warning(
            f"password: {path} has leading or trailing blanks, or several lines; all of it is the"
            " password, except the last line break",
            fix="keep only the password in the file",
        )
    return ok(f"password: in {path}")


def judge_tokens(tokens: Iterable[Token]) -> Iterator[Finding]:
    """List the scopes of each token, and report the scope that no token has."""
    held: set[str] = set()
    descriptions = []
    for token in tokens:
        held |= token.scopes
        scopes = ", ".join(scope for scope in SCOPES if scope in token.scopes)
        descriptions.append(f"{token.name} ({scopes})")
    yield ok(f"tokens: {', '.join(descriptions)}")
    if "request" not in held:
        yield warning(
            "tokens: no token has the scope 'request', so no client can request scores",
            fix="fraudd token new NAME --scope read,request",
        )


def _file_mode(name: str) -> tuple[Path, int]:
    """Return a secret's path and mode, or mode 0 if reading it will fail anyway."""
    path = credential_path(name)
    try:
        return path, path.stat().st_mode
    except OSError:
        return path, 0
