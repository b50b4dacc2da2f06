"""The cluster's certificate authority. Elliptic curves: making RSA keys takes seconds."""

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LONGEST_NAME = 64
"""Characters in a certificate's common name, by X.520."""


def make_authority(folder: Path) -> None:
    """Writes ca.crt and ca.key, and the key pair that signs service accounts' tokens: service-accounts.key, .pub."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("testbed")
    certificate = _builder(name, name, key.public_key())
    certificate = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    _write(folder / "ca", certificate.sign(key, hashes.SHA256()), key)
    signer = ec.generate_private_key(ec.SECP256R1())
    (folder / "service-accounts.key").write_bytes(_pem(signer))
    (folder / "service-accounts.pub").write_bytes(
        signer.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def issue(folder: Path, file: str, user: str, group: str = "", addresses: Iterable[str] = ()) -> None:
    """Writes FILE.crt and FILE.key, signed by the authority in the same folder, for a client and for a server.

    Args:
        folder: where the authority is.
        file: path of the two files, without their endings.
        user: the common name, which the API server takes for the user's name.
        group: the organization, which it takes for the user's group.
        addresses: names and IP addresses under which a server is reached.
    """
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    certificate = _builder(_name(user, group), authority.subject, key.public_key())
    certificate = certificate.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if names := [_alternative(address) for address in addresses]:
        certificate = certificate.add_extension(x509.SubjectAlternativeName(names), critical=False)
    _write(folder / file, certificate.sign(authority_key, hashes.SHA256()), key)


def write_kubeconfig(path: Path, server: str, folder: Path, file: str) -> None:
    """Writes how the bearer of FILE.crt reaches the API; JSON, which is YAML too."""
    path.write_text(json.dumps(kubeconfig(server, folder, file)))


def kubeconfig(server: str, folder: Path, file: str) -> dict[str, Any]:
    """A kubeconfig with everything in it, as of FILE.crt and FILE.key in the folder."""

    def data(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data(f"{file}.crt"), "client-key-data": data(f"{file}.key")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "testbed", "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
        "current-context": "testbed",
    }


def _name(user: str, group: str = "") -> x509.Name:
    organization = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*organization, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
    )


def _alternative(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _write(file: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    Path(f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    Path(f"{file}.key").write_bytes(_pem(key))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
