from __future__ import annotations

import errno
import io
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lexiseg.checkpoints import WeightFile, download, pull, register, remove
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

from .conftest import REVISION, Hub, address, make_record, weight_file

NAME = "model.safetensors"
BODY = bytes(range(256)) * 40  # 10,240 bytes
URL = address(NAME)


@pytest.fixture
def folder(hub: Hub, clean: Path) -> Path:
    """The hub holds BODY, the table its record; return the folder where it will lie."""
    register(make_record("big", weight_file(NAME, BODY)))
    hub.files[URL] = BODY
    return clean / "big"


def kept(folder: Path) -> list[str]:
    """Return the names of the weights, whole or in part, in a folder."""
    return sorted(path.name for path in folder.glob("model*"))


def ranges(hub: Hub) -> list[str | None]:
    return [wanted for _, wanted, _ in hub.requests]


def test_a_cut_connection_is_resumed_at_once(hub: Hub, folder: Path) -> None:
    hub.cuts = [3000, 2000]
    assert pull("big")[NAME].read_bytes() == BODY
    assert ranges(hub) == [None, "bytes=3000-", "bytes=5000-"]
    assert kept(folder) == [NAME]


def test_a_connection_that_keeps_breaking_is_resumed_by_the_next_run(
    hub: Hub, folder: Path
) -> None:
    hub.cuts = [3000, 0, 0, 0]
    with pytest.raises(WeightsMissing, match=r"3,000 of 10,240 bytes here; .*to go on from there"):
        pull("big")
    assert kept(folder) == [f"{NAME}.part"]
    hub.requests.clear()
    assert pull("big")[NAME].read_bytes() == BODY
    assert ranges(hub) == ["bytes=3000-"]


def test_a_whole_part_needs_no_connection(hub: Hub, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(BODY)
    assert pull("big")[NAME].read_bytes() == BODY
    assert hub.requests == []


@pytest.mark.parametrize("size", [4000, 20_000])
def test_a_server_without_ranges_starts_again(hub: Hub, folder: Path, size: int) -> None:
    hub.ranges = False
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(b"x" * size)
    assert pull("big")[NAME].read_bytes() == BODY


def test_a_server_without_ranges_that_keeps_breaking_ends(hub: Hub, folder: Path) -> None:
    hub.ranges = False
    hub.cuts = [500, 300, 400, 500, 200, 100]
    with pytest.raises(WeightsMissing, match=r"the connection to http.* failed"):
        pull("big")
    assert len(hub.requests) == 4


def test_bytes_of_unknown_number_are_counted(hub: Hub, folder: Path) -> None:
    hub.chunked = True
    assert pull("big")[NAME].read_bytes() == BODY


def test_a_wrong_checksum_is_refused_and_nothing_kept(hub: Hub, folder: Path) -> None:
    hub.files[URL] = BODY[:-1] + b"!"
    with pytest.raises(CheckpointError, match=r"its SHA-256 is .* nothing was kept"):
        pull("big")
    assert kept(folder) == []


def test_a_wrong_part_is_refused_and_the_next_run_is_right(hub: Hub, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(b"x" * 4000)
    with pytest.raises(CheckpointError, match="nothing was kept"):
        pull("big")
    assert kept(folder) == []
    assert pull("big")[NAME].read_bytes() == BODY


@pytest.mark.parametrize("body", [BODY + b"more", BODY[:-9], b"<html>log in</html>"])
def test_another_length_is_refused_before_anything_is_written(
    hub: Hub, folder: Path, body: bytes
) -> None:
    hub.files[URL] = body
    with pytest.raises(CheckpointError, match=rf"sends {len(body):,} bytes where .* 10,240"):
        pull("big")
    assert kept(folder) == []


def test_a_login_page_does_not_cost_what_has_arrived(hub: Hub, folder: Path) -> None:
    hub.files[URL], hub.ranges = b"<html>log in</html>", False
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(BODY[:4000])
    with pytest.raises(CheckpointError, match="sends 19 bytes"):
        pull("big")
    hub.files[URL], hub.ranges = BODY, True
    assert pull("big")[NAME].read_bytes() == BODY
    assert ranges(hub)[-1] == "bytes=4000-"


def test_a_stream_without_end_is_stopped(hub: Hub, folder: Path) -> None:
    hub.files[URL], hub.chunked = BODY * 3, True
    with pytest.raises(CheckpointError, match="more than 10,240 bytes"):
        pull("big")
    assert kept(folder) == []


def test_a_busy_server_is_asked_again(hub: Hub, folder: Path) -> None:
    hub.statuses = [503, 429]
    assert pull("big")[NAME].read_bytes() == BODY
    assert len(hub.requests) == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, r"not there \(HTTP status 404\).*HF_ENDPOINT"),
        (400, "answered with HTTP status 400"),
    ],
)
def test_a_refusal_is_explained_and_not_repeated(
    hub: Hub, folder: Path, status: int, message: str
) -> None:
    hub.statuses = [status]
    with pytest.raises(WeightsMissing, match=rf"{message}.*: lexiseg models pull big$"):
        pull("big")
    assert len(hub.requests) == 1


def test_no_server_at_all_is_explained(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsMissing, match=r"the connection to http.* failed"):
        pull("big")


@pytest.mark.parametrize(
    "endpoint",
    ["file:///etc", "http://hub.invalid", "ftp://127.0.0.1", "hub.invalid", "http://[", "https://"],
)
def test_an_endpoint_must_be_a_safe_address(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(OptionError, match=r"HF_ENDPOINT is .*it must start with https://"):
        pull("big")
    assert hub.requests == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        ssl.SSLError(1, "wrong version number"),
        TimeoutError("timed out"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    ],
)
@pytest.mark.parametrize("times", [2, 1000])
def test_a_broken_network_in_mid_stream_is_resumed_or_named(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, times: int
) -> None:
    broken, reads, receive = [error] * times, [0], socket.socket.recv

    def recv(self: socket.socket, size: int, *flags: int) -> bytes:
        reads[0] += 1
        if broken and reads[0] % 3 == 0:
            raise broken.pop()
        return receive(self, 1000 if broken else size, *flags)

    monkeypatch.setattr(socket.socket, "recv", recv)
    monkeypatch.setattr(download, "_WAITS_S", (0.0, 0.0))
    if times == 2:
        assert pull("big")[NAME].read_bytes() == BODY
        return
    hub.ranges = False  # so that nothing is gained from one failure to the next
    with pytest.raises(WeightsMissing, match=r"connection to http.* failed \(.*\) with [\d,]+ of"):
        pull("big")


@pytest.mark.parametrize("length", ["12, 12", "many", "-5", "", "1e4", "٣"])
def test_an_odd_length_is_no_fault_of_ours(hub: Hub, folder: Path, length: str) -> None:
    hub.notes[URL] = {"Content-Length": length}
    with suppress(WeightsMissing, CheckpointError):
        assert pull("big")[NAME].read_bytes() == BODY


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://example.org/x", "data:,x"]
)
def test_a_file_comes_from_a_safe_address(url: str) -> None:
    with pytest.raises(CheckpointError, match="it must be an https address"):
        WeightFile("x", url=url)


def test_a_file_at_an_address_of_its_own_needs_no_token(
    hub: Hub, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    file = replace(weight_file(NAME, BODY), url=f"{hub.url}/elsewhere/{NAME}")
    register(replace(make_record("direct", file), repo="", revision=""))
    hub.files[f"/elsewhere/{NAME}"] = BODY
    hub.cuts = [100]
    assert pull("direct")[NAME].read_bytes() == BODY
    assert hub.requests == [
        (f"/elsewhere/{NAME}", None, None), (f"/elsewhere/{NAME}", "bytes=100-", None)
    ]  # fmt: skip


def test_a_stream_of_unknown_length_is_bounded_too(
    hub: Hub, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_UNANNOUNCED", 2 * len(BODY))
    register(make_record("unknown", WeightFile(NAME)))
    hub.chunked, hub.files[URL] = True, BODY
    assert pull("unknown", trust=True)[NAME].read_bytes() == BODY
    remove("unknown")
    hub.files[URL] = BODY * 3
    with pytest.raises(CheckpointError, match=r"more than 20,480 bytes where .* nothing of its"):
        pull("unknown", trust=True)
    assert kept(clean / "unknown") == []


def test_what_another_program_has_fetched_is_not_fetched_again(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hub" / "models--someone--clip-toy" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (tmp_path / "blob").write_bytes(BODY)
    (snapshot / NAME).symlink_to(tmp_path / "blob")
    assert pull("big")[NAME].read_bytes() == BODY
    assert not (folder / NAME).is_symlink()
    assert hub.requests == []
    remove("big")
    (tmp_path / "blob").unlink()
    (tmp_path / "blob").write_bytes(b"other")
    assert pull("big")[NAME].read_bytes() == BODY
    assert len(hub.requests) == 1


def test_nothing_but_the_files_is_asked_of_the_hub(hub: Hub, folder: Path, tmp_path: Path) -> None:
    pull("big")
    assert hub.requests == [(URL, None, None)]
    assert not (tmp_path / "hub").exists()


# Gated checkpoints and the token


@pytest.mark.parametrize(
    ("token", "reason"), [(None, "no token was given"), ("wrong", "the token was refused")]
)
def test_a_gated_checkpoint_says_what_to_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str | None, reason: str
) -> None:
    register(make_record("sam-toy", gated=True))
    hub.token = "right"
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(WeightsMissing) as caught:
        pull("sam-toy")
    message = str(caught.value)
    assert message.startswith("'sam-toy' is gated (HTTP status 401; ")
    assert reason in message
    assert f"accept its terms at {hub.url}/someone/clip-toy" in message
    assert message.endswith("lexiseg models pull sam-toy")
    assert "right" not in message
    assert "wrong" not in message


def test_the_token_opens_a_gated_checkpoint(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "right"
    monkeypatch.setenv("HF_TOKEN", "right")
    assert pull("big")[NAME].read_bytes() == BODY


def test_the_token_stays_with_the_hub_and_the_range_travels_on(
    hub: Hub, start_hub: Callable[[], Hub], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = start_hub()
    storage.files[URL] = BODY
    storage.cuts = [100]
    hub.redirect = storage.url
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert pull("big")[NAME].read_bytes() == BODY
    assert [token for _, _, token in hub.requests] == ["Bearer secret"] * 2
    assert [token for _, _, token in storage.requests] == [None, None]
    assert ranges(storage) == [None, "bytes=100-"]


def test_the_token_follows_within_the_hub(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.moved[URL] = f"/moved{URL}"
    hub.files[f"/moved{URL}"] = BODY
    assert pull("big")[NAME].read_bytes() == BODY
    assert [token for _, _, token in hub.requests] == ["Bearer secret"] * 2


@pytest.mark.parametrize("place", ["ftp://127.0.0.1", "http://example.org", "file://x"])
def test_a_redirect_to_another_scheme_is_refused(hub: Hub, folder: Path, place: str) -> None:
    hub.redirect = place
    with pytest.raises(WeightsMissing, match=f"leads on to {place}, which is not safe"):
        pull("big")
    assert len(hub.requests) == 1


def test_a_proxy_of_the_environment_is_used(
    start_hub: Callable[[], Hub], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start_hub()
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.setenv("https_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(WeightsMissing, match=r"the connection to https://hub\.invalid/.* failed"):
        pull("big")
    assert proxy.tunnels == ["hub.invalid:443"] * 4


# The disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_output_error(hub: Hub, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"No space left on device.*set LEXISEG_CACHE"):
        pull("big")
    assert len(hub.requests) == 1


# The progress line


def test_progress_is_drawn_on_a_terminal(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    pull("big")
    assert f"big {NAME}: 100%" in terminal.getvalue()
    assert "10.2k/10.2k" in terminal.getvalue()


def test_progress_is_silent_elsewhere(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull("big")
    assert capsys.readouterr() == ("", "")


MIRRORS = ("gone/too", "copy/model")


def test_a_mirror_stands_in_for_what_was_withdrawn(hub: Hub, folder: Path) -> None:
    register(replace(make_record("old", weight_file(NAME, BODY)), repo="gone/it", mirrors=MIRRORS))
    hub.files[f"/copy/model/resolve/main/{NAME}"] = BODY
    assert pull("old")[NAME].read_bytes() == BODY
    asked = [path.partition("/resolve")[0] for path, _, _ in hub.requests]
    assert asked == ["/gone/it", "/gone/too", "/copy/model"]


def test_a_mirror_must_have_the_same_bytes(hub: Hub, folder: Path) -> None:
    register(replace(make_record("old", weight_file(NAME, BODY)), repo="gone/it", mirrors=MIRRORS))
    hub.files[f"/copy/model/resolve/main/{NAME}"] = BODY[::-1]
    with pytest.raises(CheckpointError, match="nothing was kept"):
        pull("old")


def test_where_no_mirror_has_it_all_are_named(hub: Hub, folder: Path) -> None:
    register(replace(make_record("old", weight_file(NAME, BODY)), repo="gone/it", mirrors=MIRRORS))
    with pytest.raises(WeightsMissing, match=r"404.*nor have its mirrors it: gone/too, copy/model"):
        pull("old")
    hub.requests.clear()
    hub.statuses = [503, 403]  # not withdrawn, so that no mirror is asked
    with pytest.raises(WeightsMissing, match="403"):
        pull("old")
    assert all(path.startswith("/gone/it/") for path, _, _ in hub.requests)
