"""Certificates: who gets one, who is believed, and who no more."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import msgspec
import pytest
from parties import approve, make_authority, make_party, renew

from patience import patient
from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.identity import identity, requests
from talkoot.engines.federation.identity import peer as peers
from talkoot.engines.federation.identity.authority import Authority
from talkoot.engines.federation.identity.files import write_whole
from talkoot.engines.federation.identity.identity import CHANNEL_OPTIONS, Identity, verify


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path)


@pytest.fixture
def oslo(authority: Authority, tmp_path: Path) -> Identity:
    return make_party(authority, tmp_path / "oslo", "oslo")


@contextmanager
def served(coordinator: Identity) -> Iterator[str]:
    """A server that answers with the caller's role, name and fingerprint; yields its address."""

    def answer(data: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            peer = coordinator.peer(context)
        except Refused as error:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        return f"{peer.role}/{peer.name} {peer.fingerprint}".encode() + data

    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Who", {"am": handler})])
    port = server.add_secure_port("127.0.0.1:0", coordinator.server_credentials())
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(patient())


def call(address: str, credentials: grpc.ChannelCredentials) -> bytes:
    with grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS) as channel:
        answer: bytes = channel.unary_unary("/Who/am")(b"!", timeout=patient())
    return answer


def refused(address: str, credentials: grpc.ChannelCredentials) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(address, credentials)
    return caught.value.code(), caught.value.details()


def test_the_certificate_says_who_calls(authority: Authority, oslo: Identity, tmp_path: Path) -> None:
    coordinator = make_party(authority, tmp_path / "coordinator", "coordinator", "coordinator")
    with served(coordinator) as address:
        answer = call(address, oslo.channel_credentials())
        assert answer == f"site/oslo {oslo.me.fingerprint}!".encode()
        stranger = make_party(make_authority(tmp_path / "b"), tmp_path / "b" / "oslo", "oslo")
        assert refused(address, stranger.channel_credentials())[0] is grpc.StatusCode.UNAVAILABLE
        without = grpc.ssl_channel_credentials(oslo._root)
        assert refused(address, without)[0] is grpc.StatusCode.UNAVAILABLE
        authority.revoke("oslo", "laptop stolen")
        coordinator.update_revoked((authority.folder / "revoked.json").read_bytes())
        code, text = refused(address, oslo.channel_credentials())
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "the certificate of oslo was revoked" in text
        assert "laptop stolen" in text


def test_no_site_can_play_the_coordinator(authority: Authority, oslo: Identity, tmp_path: Path) -> None:
    bergen = make_party(authority, tmp_path / "bergen", "bergen")
    with pytest.raises(Refused, match="the certificate of a site, and a coordinator is needed"):
        bergen.server_credentials()
    object.__setattr__(bergen, "me", _as_coordinator(bergen))
    with served(bergen) as address:  # it serves anyway, and TLS does not believe it
        assert refused(address, oslo.channel_credentials())[0] is grpc.StatusCode.UNAVAILABLE


def _as_coordinator(party: Identity) -> peers.Peer:
    me = party.me
    return replace(me, role="coordinator")


def test_a_signature_counts_for_its_signer_and_its_subject(
    authority: Authority, oslo: Identity, tmp_path: Path
) -> None:
    bergen = make_party(authority, tmp_path / "bergen", "bergen")
    signature = oslo.sign(b"plan", "proposal")
    known = bergen.peer_of(oslo.certificate)
    assert verify(b"plan", "proposal", signature, known)
    assert not verify(b"plan!", "proposal", signature, known)
    assert not verify(b"plan", "survivors", signature, known)
    assert not verify(b"plan", "proposal", signature, bergen.me)
    assert not verify(b"plan", "proposal", b"", known)


def test_private_keys_are_for_their_owner_and_never_travel(oslo: Identity) -> None:
    files = [path for path in oslo.folder.rglob("*") if path.is_file()]
    secret = [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert [path.parent.name for path in secret] == ["keys"]
    assert stat.S_IMODE(secret[0].stat().st_mode) == 0o600
    secret[0].chmod(0o640)
    with pytest.raises(Refused, match=r"can be read by others than its owner \(mode 0640\). chmod 600"):
        Identity.load(oslo.folder)


def test_an_expired_certificate_is_refused(authority: Authority, oslo: Identity, tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=31)
    certificate = peers.to_certificate(oslo.certificate)
    with pytest.raises(Refused, match=r"the certificate of oslo expired on .* make a new request"):
        peers.check(certificate, authority.certificate, later)
    with pytest.raises(Refused, match="not valid before"):
        peers.check(certificate, authority.certificate, later - timedelta(days=100))
    with pytest.raises(Refused, match="the certificate of old expired"):
        make_party(authority, tmp_path / "old", "old", days=0)


def test_another_authority_with_the_same_name_is_not_believed(oslo: Identity, tmp_path: Path) -> None:
    other = make_party(make_authority(tmp_path / "b"), tmp_path / "b" / "oslo", "oslo")
    with pytest.raises(Refused, match="the certificate of oslo was made by another authority"):
        oslo.peer_of(other.certificate)
    with pytest.raises(Refused, match="does not say who it is for"):
        oslo.peer_of((tmp_path / "authority" / "authority.crt").read_bytes())
    with pytest.raises(Refused, match="this is no certificate"):
        oslo.peer_of(b"oslo")


def test_a_name_belongs_to_whoever_has_it(authority: Authority, oslo: Identity, tmp_path: Path) -> None:
    path, _ = identity.request(tmp_path / "false", "oslo", "site")
    with pytest.raises(Refused, match="oslo has a certificate, and did not sign this request"):
        approve(authority, path)
    authority.revoke("oslo", "keys lost")
    approve(authority, path)
    fresh = Identity.load(tmp_path / "false")
    assert fresh.revoked.number == 1
    with pytest.raises(Refused, match="revoked"):
        fresh.peer_of(oslo.certificate)
    assert oslo.peer_of(fresh.certificate).name == "oslo"


def test_a_renewal_is_signed_by_the_certificate_that_it_renews(
    authority: Authority, oslo: Identity, tmp_path: Path
) -> None:
    fresh = renew(authority, oslo.folder)
    assert (fresh.name, fresh.role) == ("oslo", "site")
    assert fresh.me.signing_key != oslo.me.signing_key
    authority.revoke("oslo", "keys seen by others", oslo.me.fingerprint)
    fresh.update_revoked((authority.folder / "revoked.json").read_bytes())
    Identity.load(oslo.folder)
    with pytest.raises(Refused, match="keys seen by others"):
        fresh.peer_of(oslo.certificate)
    old = requests.make(fresh.keys, "oslo", "site", (oslo.keys, oslo.certificate))
    with pytest.raises(Refused, match="keys seen by others"):
        authority.approve(old)


def test_nobody_renews_anothers_certificate(authority: Authority, oslo: Identity, tmp_path: Path) -> None:
    bergen = make_party(authority, tmp_path / "bergen", "bergen")
    for name, role in (("oslo", "site"), ("bergen", "researcher")):
        made = requests.make(bergen.keys, name, role, (bergen.keys, bergen.certificate))  # type: ignore[arg-type]
        with pytest.raises(Refused, match=f"the site bergen cannot renew .* for the {role} {name}"):
            authority.approve(made)
    made = requests.make(bergen.keys, "oslo", "site", (bergen.keys, oslo.certificate))
    with pytest.raises(Refused, match="not signed by the certificate of oslo"):
        authority.approve(made)


def test_a_waiting_renewal_leaves_the_certificate_that_there_is(oslo: Identity) -> None:
    identity.request(oslo.folder, None, "site", renew=True)
    assert Identity.load(oslo.folder).me == oslo.me


@pytest.mark.parametrize("field", ["csr", "signature"])
def test_a_request_that_was_changed_on_its_way_is_refused(tmp_path: Path, field: str) -> None:
    path, _ = identity.request(tmp_path / "a", "oslo", "site")
    other, _ = identity.request(tmp_path / "b", "oslo", "site")
    mine, theirs = (msgspec.json.decode(p.read_bytes(), type=requests.Request) for p in (path, other))
    mixed = msgspec.structs.replace(mine, **{field: getattr(theirs, field)})
    write_whole(path, mixed.to_bytes())
    with pytest.raises(Refused, match="is not signed by the keys that it is about"):
        requests.load(path)


def test_files_that_are_none_are_refused_by_name(oslo: Identity, tmp_path: Path) -> None:
    junk = tmp_path / "notes.request"
    for text in (b"", b"\x00\xff", b'{"csr": "", "signature": ""}', b'{"csr": 1}'):
        junk.write_bytes(text)
        with pytest.raises(DataError, match=r"notes\.request is no certificate request"):
            requests.load(junk)
    (oslo.folder / "oslo.approved").write_bytes(b"{}")
    with pytest.raises(DataError, match=r"oslo\.approved is no approved certificate"):
        Identity.load(oslo.folder)


def test_a_list_of_revoked_certificates_only_grows(authority: Authority, oslo: Identity) -> None:
    empty = (authority.folder / "revoked.json").read_bytes()
    authority.revoke("oslo", "test")
    oslo.update_revoked((authority.folder / "revoked.json").read_bytes())
    assert oslo.update_revoked(empty).number == 1
    with pytest.raises(Refused, match="was revoked"):
        Identity.load(oslo.folder)
    full = (oslo.folder / "revoked.json").read_text()
    (oslo.folder / "revoked.json").write_text(full.replace("oslo", "lima"))
    with pytest.raises(Refused, match="not signed by the authority"):
        Identity.load(oslo.folder)


def test_an_empty_folder_says_what_to_do_next(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Make a request: talkoot site request NAME"):
        Identity.load(tmp_path)
    identity.request(tmp_path, "oslo", "site")
    with pytest.raises(DataError, match=r"Send .*oslo\.request to the operator"):
        Identity.load(tmp_path)


@pytest.mark.parametrize("name", ["Oslo", "oslo/../x", "", "-a", "o" * 64, "oslo\n", "øslo"])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no name for a certificate"):
        identity.request(tmp_path, name, "site")
