from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from lexiseg.checkpoints import pull, register
from lexiseg.checkpoints._progress import Progress
from lexiseg.errors import CheckpointError, OptionError, OutputError, WeightsMissing

from .conftest import Hub, address, make_record, weight_file

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
    return [wanted for _, wanted, _ in hub.seen]


def test_a_cut_connection_is_resumed_at_once(hub: Hub, folder: Path) -> None:
    hub.cuts = [3000, 2000]
    assert pull("big")[NAME].read_bytes() == BODY
    assert ranges(hub) == [None, "bytes=3000-", "bytes=5000-"]
    assert kept(folder) == [NAME]


def test_a_connection_that_keeps_breaking_is_resumed_by_the_next_run(
    hub: Hub, folder: Path
) -> None:
    hub.cuts = [3000, 0, 0, 0]
    with pytest.raises(WeightsMissing, match=r"3,000 of 10,240 bytes here; run the command again"):
        pull("big")
    assert kept(folder) == [f"{NAME}.part"]
    hub.seen.clear()
    assert pull("big")[NAME].read_bytes() == BODY
    assert ranges(hub) == ["bytes=3000-"]


def test_a_whole_part_needs_no_connection(hub: Hub, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(BODY)
    assert pull("big")[NAME].read_bytes() == BODY
    assert hub.seen == []


@pytest.mark.parametrize("size", [4000, 20_000])
def test_a_server_without_ranges_starts_again(hub: Hub, folder: Path, size: int) -> None:
    hub.ranges = False
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(b"x" * size)
    assert pull("big")[NAME].read_bytes() == BODY


def test_a_server_without_ranges_that_keeps_breaking_ends(hub: Hub, folder: Path) -> None:
    hub.ranges = False
    hub.cuts = [500, 300, 400, 500, 200, 100]
    with pytest.raises(WeightsMissing, match="broke off"):
        pull("big")
    assert len(hub.seen) == 4


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
    assert len(hub.seen) == 3


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
    assert len(hub.seen) == 1


def test_no_server_at_all_is_explained(
    folder: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsMissing, match="broke off"):
        pull("big")


def test_an_endpoint_must_be_an_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(OptionError, match="HF_ENDPOINT is 'file:///etc'"):
        pull("big")


# Gated checkpoints and the token


@pytest.mark.parametrize(
    ("token", "reason"), [(None, "HF_TOKEN is not set"), ("wrong", "in HF_TOKEN was refused")]
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
    assert [token for _, _, token in hub.seen] == ["Bearer secret"] * 2
    assert [token for _, _, token in storage.seen] == [None, None]
    assert ranges(storage) == [None, "bytes=100-"]


def test_the_token_follows_within_the_hub(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.moved[URL] = f"/moved{URL}"
    hub.files[f"/moved{URL}"] = BODY
    assert pull("big")[NAME].read_bytes() == BODY
    assert [token for _, _, token in hub.seen] == ["Bearer secret"] * 2


def test_a_redirect_to_another_scheme_is_refused(hub: Hub, folder: Path) -> None:
    hub.redirect = "ftp://127.0.0.1"
    with pytest.raises(WeightsMissing, match=r"leads on to ftp://127\.0\.0\.1, which is not safe"):
        pull("big")
    assert len(hub.seen) == 1


def test_a_proxy_of_the_environment_is_used(
    start_hub: Callable[[], Hub], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start_hub()
    proxy.files[f"http://hub.invalid{URL}"] = BODY
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert pull("big")[NAME].read_bytes() == BODY
    assert len(proxy.seen) == 1


# The disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_output_error(hub: Hub, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"No space left on device.*set LEXISEG_CACHE"):
        pull("big")
    assert len(hub.seen) == 1


# The progress line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal() -> None:
    stream = Terminal()
    with Progress("big model", 4_000_000, stream) as progress:
        progress(1_000_000)
        progress(4_000_000)
    text = stream.getvalue()
    assert "\rbig model  1.0 / 4.0 MB  25%" in text
    assert "\rbig model  4.0 / 4.0 MB  100%" in text
    assert text.endswith("\n")


def test_progress_is_silent_elsewhere(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    with Progress("big model", 4, stream) as progress:
        progress(4)
    assert stream.getvalue() == ""
    pull("big")
    assert capsys.readouterr() == ("", "")
