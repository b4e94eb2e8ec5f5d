"""A viewer's own text: encodings and scripts that work, files that do not, and the way to a worker."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import update

from core import attachments
from core.attachments import MissingAttachmentError, digest_of
from core.experiments.rnn import EXPERIMENT, RnnSettings
from core.settings import InvalidSettingsError
from core.store import MAX_IN_MEMORY, Store
from core.store import attachments as table
from core.text import MAX_BYTES, TextError, cut, fingerprint, symbols_of
from core.text.upload import read_upload

SPANISH = "El niño comió piñas y pingüinos: ¿qué más podía hacer el cóndor en el año del ñandú? " * 40
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю, сказал он ей вчера вечером. " * 40
CHINESE = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜。" * 60
EMOJI = "Good 👍🏽 morning ❤️ family 👨‍👩‍👧 from 🇪🇸 to 🇲🇽! " * 80


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(text, encoding) for text in (SPANISH, RUSSIAN, CHINESE, EMOJI) for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")],
        (SPANISH, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
    ],
)  # fmt: skip
def test_texts_of_many_scripts_and_encodings_come_out_whole(text, encoding):
    read, _name = read_upload(text.encode(encoding))
    assert read == text
    assert "".join(symbols_of(read)) == text
    assert len(cut(read, 2_000, 500).vocabulary) > 10


def test_emoji_are_single_symbols():
    vocabulary = cut(EMOJI, 2_000, 500).vocabulary
    assert {"👍🏽", "❤️", "👨‍👩‍👧", "🇪🇸", "🇲🇽"} <= set(vocabulary.symbols)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t " * 100, "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"a" * (MAX_BYTES + 1), "large"),
        (b"x" * 100_000_000, "large"),
        (bytes(range(256)) * 40, "binary"),
        (b"\x7fELF" + bytes(5_000), "binary"),
        (b"\xff\xfe" + b"\x00\xd8" * 500, "encoding"),
        (b"\xef\xbb\xbf\xff\xff\xff", "encoding"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_files_that_are_no_text_get_one_sentence(data, reason):
    with pytest.raises(TextError) as caught:
        read_upload(data)
    assert caught.value.reason == reason
    sentence = caught.value.sentence()
    assert sentence.startswith("Invalid text. Expected ")
    assert "received" in sentence
    assert len(sentence.splitlines()) == 1
    assert not set("{}") & set(sentence)


def test_random_bytes_never_raise_anything_else():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 100, 5_000):
        for _ in range(20):
            try:
                text, _encoding = read_upload(rng.bytes(size))
                cut(text, 1_000, 100)
            except TextError:
                pass


def test_store_keeps_what_a_viewer_brought_and_misses_what_is_damaged(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'r.sqlite'}")
    digest = store.attach(b"a text")
    assert digest == digest_of(b"a text") == fingerprint("a text")
    assert store.attach(b"a text") == digest
    assert store.attachment(digest) == b"a text"
    assert store.attachment("0" * 64) is None
    store.close()
    again = Store(f"sqlite:///{tmp_path / 'r.sqlite'}")
    assert again.attachment(digest) == b"a text"
    with again.layers[-1].engine.begin() as connection:
        connection.execute(update(table).values(data=b"another"))
    assert again.attachment(digest) is None
    again.close()


def test_store_without_a_database_keeps_the_latest_few():
    store = Store("")
    digests = [store.attach(bytes([number])) for number in range(MAX_IN_MEMORY + 2)]
    assert [store.attachment(digest) is None for digest in digests] == [True, True] + [False] * MAX_IN_MEMORY


def test_worker_reads_what_was_sent_and_says_so_when_nothing_was():
    digest = digest_of(b"sent")
    with pytest.raises(MissingAttachmentError, match=r"Expected the uploaded data .*; received none"):
        attachments.read(digest)
    attachments.provide({digest: b"sent"})
    assert attachments.read(digest) == b"sent"


def test_own_text_without_an_upload_is_a_sentence_and_the_usual_text():
    settings, problems = RnnSettings.read("corpus=own")
    assert settings.corpus == "shakespeare"
    assert [problem.key for problem in problems] == ["corpus"]
    assert "uploaded" in problems[0].sentence()
    for bad in ("abc", "G" * 64, "a" * 63, "A" * 64):
        with pytest.raises(InvalidSettingsError):
            RnnSettings.parse(f"corpus=own&text={bad}")
    spec = EXPERIMENT.study(RnnSettings.parse(f"corpus=own&text={'a' * 64}")).base
    assert spec.attachments == ("a" * 64,)
    assert EXPERIMENT.study(RnnSettings()).base.attachments == ()


@pytest.mark.slow
def test_uploaded_text_trains_on_the_engine(config):
    from core.engine.client import Engine

    store = Store(config.store_url)
    digest = store.attach(EMOJI.encode())
    link = f"corpus=own&text={digest}&n_train=2000&n_validation=1000&epochs=1&units=8&window=8&seeds=1&arms=l2"
    specs = list(EXPERIMENT.study(RnnSettings.parse(link)).runs.values())
    absent = list(EXPERIMENT.study(RnnSettings.parse(link.replace(digest, "a" * 64))).runs.values())
    engine = Engine(store, config)
    try:
        engine.submit([*specs, *absent])
        engine.wait([spec.digest for spec in (*specs, *absent)], 0.1)
        results = store.get(spec.digest for spec in specs)
        assert len(results) == len(specs)
        assert "👍🏽" in set(results[specs[0].digest].frames["vocabulary"]["symbol"])
        failure = engine.partial([absent[0].digest])[absent[0].digest]
        assert "Expected the uploaded data" in failure.detail
    finally:
        engine.close()
        store.close()


def test_marks_without_end_are_refused_before_they_are_normalized():
    with pytest.raises(TextError):
        read_upload(("a" + "\u0301\u0316" * 200_000).encode())
    assert read_upload(("z" + "\u0301" * 12 + " and so on").encode())[1]
