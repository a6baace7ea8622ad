"""Deploying to a server with a password, behind a certificate of its own authority."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from helpers.site import RETRAINING, Site, open_site

pytestmark = [pytest.mark.server, pytest.mark.slow]

PASSWORD = "admin:correct-horse"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(
        tmp_path_factory.mktemp("protected"),
        PREFECT_SERVER_API_AUTH_STRING=PASSWORD,
        PREFECT_API_AUTH_STRING=PASSWORD,
    ) as site:
        yield site


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, signed by nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def secure_url(site: Site, certificate: Path) -> Iterator[str]:
    """The server's address behind TLS, as a reverse proxy gives it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    port = int(site.url.rsplit(":", 1)[1].removesuffix("/api"))
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):  # the test is over
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            secure = context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=copy, args=(server, secure), daemon=True).start()
            copy(secure, server)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=accept, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}/api"
    listener.close()


def test_without_the_password_one_line_says_so(site: Site) -> None:
    done = site.deploy(check=False, PREFECT_API_AUTH_STRING="")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"error: the Prefect server at {site.url} wants a password; set PREFECT_API_AUTH_STRING to"
        " user:password"
    ]


def test_without_the_certificate_one_line_says_so(site: Site, secure_url: str) -> None:
    done = site.deploy(check=False, PREFECT_API_URL=secure_url)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"error: the Prefect server at {secure_url} has a certificate that is not trusted; set"
        " PREFECT_API_SSL_CERT_FILE to the certificate of its authority"
    ]


def test_with_both_everything_is_deployed(site: Site, secure_url: str, certificate: Path) -> None:
    done = site.deploy(PREFECT_API_URL=secure_url, PREFECT_API_SSL_CERT_FILE=str(certificate))
    assert "error" not in done.stdout.lower()
    with site.client() as client:
        assert client.read_deployment_by_name(RETRAINING).work_pool_name == "mnist"


def test_no_server_is_one_line(site: Site) -> None:
    done = site.deploy(check=False, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "error: no Prefect server answers at http://127.0.0.1:9/api; start one with `make server`"
        " in another terminal, or set PREFECT_API_URL"
    ]
