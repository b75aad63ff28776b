"""Why a file is not sound that can be read, told from its first bytes.

cause_of_failure   one sentence for a file that the decoder refused
promised_too_much  one sentence for a WAV file whose header promises more samples than follow
"""

from __future__ import annotations

import os
from typing import Any

# Written by programs that could not seek back: 0, or about the most that 31 or 32 bits hold, less a header and whole blocks.
UNKNOWN_SIZES = (range(1), range(0x7FFF0000, 0x80010000), range(0xFFFF0000, 1 << 32))
HEAD = 4096  # bytes that are looked at


def head_of(source: Any) -> tuple[bytes, int]:
    """The first bytes of a source and its size; (b"", -1) for one that cannot be looked at."""
    if isinstance(source, bytes):
        return source[:HEAD], len(source)
    if isinstance(source, (str, os.PathLike)):
        try:
            with open(source, "rb") as file:
                return file.read(HEAD), os.fstat(file.fileno()).st_size
        except OSError:
            return b"", -1
    try:
        here = source.tell()
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        head = source.read(HEAD)
        source.seek(here)
        return head, size
    except (OSError, AttributeError, ValueError):
        return b"", -1


def cause_of_failure(source: Any, error: Exception) -> str:
    """What is wrong with a source that the decoder refused."""
    head, size = head_of(source)
    if size == 0:
        return "it is empty (0 bytes)"
    if is_aac(head):
        return ("it holds AAC (M4A, MP4 or ADTS), which is not read. Convert it first, for example: "
                "ffmpeg -i INPUT -ar 16000 OUTPUT.flac")
    if head[:4] == b"\x1aE\xdf\xa3":
        return "it is a WebM or Matroska file, which is not read. Convert it first, for example: ffmpeg -i INPUT OUTPUT.flac"
    known = known_container(head)
    if known:
        return f"it begins as {known} but is damaged or truncated ({reason_of(error)})"
    if head.strip()[:1] in (b"<", b"{", b"#") or (head and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head[:256])):
        return "it is not audio: it holds text"
    return f"it is not audio that can be read ({reason_of(error)}). Known: WAV, FLAC, OGG, Opus, MP3"


def reason_of(error: Exception) -> str:
    return str(error).split(": ")[-1].rstrip(".")


def is_aac(head: bytes) -> bool:
    adts = len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0
    return adts or head[4:8] == b"ftyp" or head[:4] == b"ADIF"


def known_container(head: bytes) -> str:
    """The format whose magic number a file begins with, or an empty string."""
    if head[:4] in (b"RIFF", b"RF64", b"RIFX"):
        return "WAV"
    names = {b"fLaC": "FLAC", b"OggS": "OGG", b"FORM": "AIFF", b"caff": "CAF", b".snd": "AU"}
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return "MP3"
    return names.get(head[:4], "")


def promised_too_much(source: Any) -> str:
    """Why a RIFF WAV's header lies about its length, or an empty string."""
    head, size = head_of(source)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return ""
    position = 12
    while position + 8 <= len(head):
        name, length = head[position:position + 4], int.from_bytes(head[position + 4:position + 8], "little")
        if name == b"data":
            left = size - position - 8
            if length <= left or any(length in sizes for sizes in UNKNOWN_SIZES):
                return ""
            return f"it is truncated: its header promises {length} bytes of samples, but {left} follow"
        position += 8 + length + length % 2
    return ""
