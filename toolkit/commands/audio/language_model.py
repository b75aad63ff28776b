"""``toolkit audio language-model TEXTS --out FILE.arpa``: an n-gram model of texts, for decoding with a beam."""

from __future__ import annotations

from pathlib import Path

import click

from toolkit.commands import _output as output
from toolkit.errors import UsageError


@click.command("language-model")
@click.argument("texts", metavar="TEXTS")
@click.option("--out", required=True, metavar="FILE", help="The new ARPA file.")
@click.option("--order", type=click.IntRange(min=1, max=9), default=3, show_default=True, help="Words of the longest n-gram.")
@click.option("--lower/--no-lower", default=True, show_default=True,
              help="Make all letters small, as speech-recognition does unless it is told --lower false.")
@output.json_option
def language_model_command(texts: str, out: str, order: int, lower: bool, as_json: bool) -> int:
    """Count the words of TEXTS and write an ARPA language model (Witten and Bell's interpolation).

    TEXTS is a file with a text on each line, a manifest (.jsonl, .csv) with the column text, or a data set by name, whose
    training texts are taken.

    \b
    toolkit audio language-model spoken-sentences --out sentences.arpa
    toolkit audio transcribe latest talk.wav --beam 8 --language-model sentences.arpa
    """
    from toolkit.audio import manifests
    from toolkit.audio.language_model import estimated, tidied, write_arpa

    output.require_new("--out", out)
    if not Path(out).resolve().parent.is_dir():
        raise UsageError(f"{Path(out).parent} is not a folder: make it, or name another --out")
    lines = [line for text in texts_of(texts) if (line := tidied(text, lower))]
    if not lines:
        where = ", in the column text" if Path(texts).suffix.lower() in manifests.FORMS else ""
        raise UsageError(f"{texts}: it holds no text{where}. A language model needs at least one")
    model = estimated(lines, order)
    write_arpa(out, model)
    if as_json:
        output.emit({"out": out, "texts": len(lines), "order": order, "ngrams": len(model.probabilities)})
    output.talk(f"wrote {len(model.probabilities):,} n-grams of {len(lines):,} texts to {out}")
    return 0


def texts_of(source: str) -> list[str]:
    """The texts of a file or of a data set's training split. Raises UsageError where there are none."""
    from toolkit.audio import manifests
    from toolkit.core.splits import splits_of
    from toolkit.registry import registry

    path = Path(source)
    if path.suffix.lower() in manifests.FORMS:
        return [clip.text for clip in manifests.read(path) if clip.text]
    if path.exists():
        try:
            return path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{source}: it is no text file ({getattr(error, 'strerror', None) or error})") from error
    rows = splits_of(registry.make("dataset", source))["train"]
    texts = [str(row["text"]) for row in rows if "text" in row]
    if not texts:
        raise UsageError(f"the data set {source} holds no texts. Name a text file, a manifest with the column text, or "
                         "spoken-sentences")
    return texts
