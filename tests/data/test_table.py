"""Does a table of photos give the classes and splits that its owner meant, or one line that says what is wrong?"""

import json
import sys
from pathlib import Path

import pytest
from data.photo_folders import classes_of, parts_of, problem, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nin.data.sources.folder import list_folder
from nin.data.sources.table import find_table, list_table

PHOTOS = ("1.png", "2.png", "sub/3.jpg", "sub/4.xyz")


def table(folder: Path, text: str | bytes, name: str = "metadata.csv", photos: tuple[str, ...] = PHOTOS) -> Path:
    """Write photos and a table beside them, and return the folder."""
    return put(put(folder, *photos), name, content=text.encode() if isinstance(text, str) else text)


def csv(*rows: str) -> str:
    return "\n".join(("file_name,label", *rows)) + "\n"


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


FOUR = csv("1.png,dog", "2.png,cat", "sub/3.jpg,cat", "sub/4.xyz,dog")


def test_a_csv_names_photos_and_their_classes(tmp_path: Path):
    folder = table(tmp_path / "pets", FOUR)
    listing = list_folder(folder)
    assert (listing.names, listing.order) == (("cat", "dog"), "labels of the table, sorted as text")
    assert classes_of(listing) == {"1.png": "dog", "2.png": "cat", "sub/3.jpg": "cat", "sub/4.xyz": "dog"}
    assert list(listing.photos) == [folder / key for key in PHOTOS]
    assert list(listing.parts) == [None] * 4
    assert (listing.name, listing.place, listing.notes) == ("pets", str(folder), ())
    assert listing.stamp == list_table(folder, folder / "metadata.csv").stamp


def test_json_lines_say_the_same_as_csv(tmp_path: Path):
    names = {"1.png": "dog", "2.png": "cat", "sub/3.jpg": "cat", "sub/4.xyz": "dog"}
    rows = lines(*({"file_name": key, "label": name, "size": [1, 2]} for key, name in names.items()))
    listing = list_folder(table(tmp_path, rows + "\n", "metadata.jsonl"))
    assert classes_of(listing) == names


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + FOUR.encode(),
        FOUR.replace("\n", "\r\n"),
        "\n" + FOUR.replace("\n", "\n\n") + ",\n",
        FOUR.replace(",", ", "),
        FOUR.replace("dog", '"dog "'),
        FOUR.replace("sub/", "./sub/../sub//"),
        FOUR.replace("sub/", "sub\\"),
        FOUR.replace("file_name,label", "File_Name,Label"),
        FOUR.replace("label", "category"),
        FOUR.replace("label", "target"),
        FOUR.replace("\n", ",0\n").replace("label,0", "class,index"),
        FOUR.replace("\n", ",0\n").replace("label,0", "label,class"),
    ],
)
def test_tables_that_programs_write_are_read(tmp_path: Path, text: str | bytes):
    listing = list_folder(table(tmp_path, text))
    assert classes_of(listing) == {"1.png": "dog", "2.png": "cat", "sub/3.jpg": "cat", "sub/4.xyz": "dog"}


def test_a_label_may_hold_commas_line_ends_within_quotes_may_not(tmp_path: Path):
    assert list_folder(table(tmp_path, csv('1.png,"a, b"', '2.png,"say ""c"""'))).names == ("a, b", 'say "c"')
    assert r"a\nb holds \n" in problem(table(tmp_path, csv('1.png,"a\nb"', "2.png,c")))


def test_a_photo_may_have_any_name_even_a_hidden_one_if_the_table_names_it(tmp_path: Path):
    keys = (".x/1.png", "é ü.PNG", "no suffix", "a.heic")
    listing = list_folder(table(tmp_path, csv(*(f"{key},{i}" for i, key in enumerate(keys))), photos=keys))
    assert set(listing.keys) == set(keys)


def test_photos_that_the_table_does_not_name_are_noted(tmp_path: Path):
    put(tmp_path, "5.png", "sub/6.gif", "README", ".hidden.png", "notes.txt")
    assert list_folder(table(tmp_path, csv("1.png,a", "2.png,b"))).notes == (
        "photos that metadata.csv does not name are left out (3): 5.png, sub/3.jpg, sub/6.gif",
    )


def test_a_photo_that_is_named_again_with_its_label_counts_once(tmp_path: Path):
    listing = list_folder(table(tmp_path, csv("1.png,a", "2.png,b", "./1.png,a"), photos=("1.png", "2.png")))
    assert list(listing.keys) == ["1.png", "2.png"]
    assert listing.notes == ("rows of metadata.csv that name a photo again, with its label, are left out (1): 1.png",)


# --- Labels ---


def test_integers_are_sorted_as_numbers_and_it_is_said(tmp_path: Path):
    listing = list_folder(table(tmp_path, csv("1.png,10", "2.png,9", "sub/3.jpg,-1", "sub/4.xyz,9")))
    assert (listing.names, listing.order) == (("-1", "9", "10"), "labels of the table, sorted as numbers")
    assert listing.labels.tolist() == [2, 1, 0, 1]


def test_text_with_numbers_is_sorted_as_text_and_it_is_said(tmp_path: Path):
    listing = list_folder(table(tmp_path, csv("1.png,c10", "2.png,c9", "sub/3.jpg,7")))
    assert listing.names == ("7", "c10", "c9")
    assert "c10 before c9" in listing.order


@pytest.mark.parametrize("labels", [("b", "a", "c"), ("1", "2", "0")])
def test_labels_are_names_in_classes_txt_or_positions_in_it(tmp_path: Path, labels: tuple[str, ...]):
    put(tmp_path, "classes.txt", content=b"c\nb\na\n")
    rows = csv(*(f"{key},{label}" for key, label in zip(PHOTOS, labels, strict=False)))
    listing = list_folder(table(tmp_path, rows))
    assert (listing.names, listing.order) == (("c", "b", "a"), "classes.txt")
    assert listing.labels.tolist() == [1, 2, 0]


def test_integers_that_are_names_in_classes_txt_are_not_positions(tmp_path: Path):
    put(tmp_path, "classes.txt", content=b"2\n1\n0\n")
    listing = list_folder(table(tmp_path, csv("1.png,0", "2.png,1", "sub/3.jpg,2")))
    assert (listing.names, listing.labels.tolist()) == (("2", "1", "0"), [2, 1, 0])


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("a", "b", "d"), "the label d is not in classes.txt"),
        (("a", "1", "2"), "the label 1, 2 is not in classes.txt"),
        (("0", "1", "3"), "the label 3 is none of the positions in classes.txt, 0 to 2"),
        (("0", "1", "-1"), "the label -1 is none of the positions in classes.txt, 0 to 2"),
        (("0", "1", "1"), "there are no photos of c"),
        (("a", "b", "b"), "there are no photos of c"),
    ],
)
def test_labels_that_do_not_fit_classes_txt_are_one_line(tmp_path: Path, labels: tuple[str, ...], says: str):
    put(tmp_path, "classes.txt", content=b"a\nb\nc\n")
    assert says in problem(
        table(tmp_path, csv(*(f"{key},{label}" for key, label in zip(PHOTOS, labels, strict=False))))
    )


@pytest.mark.parametrize(
    ("values", "names"), [((1, 10, 9), ("1", "9", "10")), ((True, False, True), ("false", "true")), ((0.5, 1.5), None)]
)
def test_labels_of_json_may_be_numbers(tmp_path: Path, values: tuple[object, ...], names: tuple[str, ...] | None):
    rows = [{"file_name": key, "label": value} for key, value in zip(PHOTOS, values, strict=False)]
    listing = list_folder(table(tmp_path, lines(*rows), "metadata.jsonl"))
    assert listing.names == (names or ("0.5", "1.5"))


# --- Splits ---


def test_a_column_split_gives_the_splits(tmp_path: Path):
    rows = ("file_name,label,split", "1.png,a,Train", "2.png,b,Train", "sub/3.jpg,a,val", "sub/4.xyz,b, evaluation")
    listing = list_folder(table(tmp_path, "\n".join(rows)))
    assert parts_of(listing) == {"1.png": "train", "2.png": "train", "sub/3.jpg": "validation", "sub/4.xyz": "test"}
    assert listing.notes == (
        "evaluation is taken as the test split",
        "there are no photos of the class b in validation",
        "there are no photos of the class a in test",
    )


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        (("train", "train", "fold1"), "fold1 in the column split is none; write train, validation or test"),
        (("test", "test", "val"), "its column split names no photos to train on"),
        (("val", "validation", "train"), "val and validation mean the same split"),
        (("train", "train", ""), "line 4: it has no split"),
        (("train", "test", "test"), "no photos of the class b in train, but there are some in test"),
    ],
)
def test_a_column_split_that_is_unclear_is_one_line(tmp_path: Path, splits: tuple[str, ...], says: str):
    rows = [f"{key},{name},{split}" for key, name, split in zip(PHOTOS, "aba", splits, strict=False)]
    assert says in problem(table(tmp_path, "\n".join(("file_name,label,split", *rows))))


def split_tables(folder: Path, **texts: str) -> Path:
    for split, text in texts.items():
        table(folder / split, text)
    return folder


def test_split_folders_have_a_table_each(tmp_path: Path):
    put(tmp_path, "classes.txt", content=b"b\na\n")
    text = csv("1.png,a", "2.png,b", "sub/3.jpg,a", "sub/4.xyz,b")
    listing = list_folder(split_tables(tmp_path, train=text, eval=text))
    assert listing.names == ("b", "a")
    assert parts_of(listing)["eval/sub/3.jpg"] == "test"
    assert classes_of(listing)["eval/sub/3.jpg"] == "a"
    assert list(listing.photos) == [tmp_path / key for key in listing.keys]
    assert listing.notes == ("eval is taken as the test split",)
    assert listing.place == str(tmp_path)


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (csv("1.png,c"), "no photos of the class c in train, but there are some in test"),
        ("file_name,label,split\n1.png,a,train\n", "its column split disagrees with its folder"),
        (csv("../train/1.png,a"), "line 2: ../train/1.png is not below the folder of the table"),
        (csv("9.png,a"), "test/metadata.csv: 1 of the 1 files that it names are not there: 9.png"),
    ],
)
def test_split_tables_that_do_not_fit_are_one_line(tmp_path: Path, test: str, says: str):
    assert says in problem(split_tables(tmp_path, train=csv("1.png,a", "2.png,b"), test=test))


def test_photos_in_split_folders_are_split_so_where_the_table_says_nothing_else(tmp_path: Path):
    photos = ("train/1.png", "train/2.png", "test/3.png")
    for rows in (
        ("train/1.png,a", "train/2.png,b", "test/3.png,a"),
        ("train\\1.png,a", "train/2.png,b", "test\\3.png,a"),
    ):
        listing = list_folder(table(tmp_path, csv(*rows), photos=photos))
        assert parts_of(listing) == {"train/1.png": "train", "train/2.png": "train", "test/3.png": "test"}
        assert listing.notes[0] == "the photos are split as the folders that they lie in: test, train"
    put(tmp_path, "4.png")
    listing = list_folder(table(tmp_path, csv("train/1.png,a", "train/2.png,b", "test/3.png,a", "4.png,b"), photos=()))
    assert set(listing.parts) == {None}
    assert "the folders test, train are not taken as splits" in listing.notes[0]


# --- What is wrong with a table ---


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it has no rows"),
        ("file_name,label\n", "it has no rows"),
        (csv("1.png,a", "2.png,a"), "it has only one class, a"),
        ("image,label\n1.png,a\n", "it has no column file_name, its columns are image, label"),
        ("file_name,text\n1.png,a\n", "it has no column label, its columns are file_name, text"),
        ("file_name,class,target\n1.png,a,b\n", "it has no column label but class and target"),
        ("file_name,label,label\n1.png,a,b\n", "it has more than one column label"),
        ("file_name,label,Label\n1.png,a,b\n", "it has 2 columns label"),
        (FOUR.replace(",", ";"), "its columns are divided by semicolons; save it with commas"),
        (FOUR.replace(",", "\t"), "its columns are divided by tabs; save it with commas"),
        (csv("1.png,a", "2.png"), "line 3: it has 1 of 2 columns"),
        (csv("1.png,a", "2.png,b,c"), "line 3: it has 3 of 2 columns"),
        (csv("1.png,a", "2.png, "), "line 3: it has no label"),
        (csv("1.png,a", ",b"), "line 3: it has no file_name"),
        (csv("1.png,a", '"2.png,b'), "line 3: it is not CSV (unexpected end of data)"),
        (csv("1.png,a", '2.png,"' + "x" * 200_000 + '"'), "line 3: it is not CSV (field larger than field limit"),
        (csv("1.png,a", "x" * 1_000_001 + ",b"), "line 3: more than 1 MB"),
        (csv("1.png,a", "2.png," + "b" * 300), "has more than 255 characters"),
        (csv("1.png,a", "2.png,\x1b[31mb"), r"the class name \x1b[31mb holds \x1b"),
        (csv("1.png,a").encode() + b"2.png,caf\xe9\n", "line 3: it is not UTF-8 text; save the table as UTF-8"),
        (FOUR.encode("utf-16"), "line 1: it is not UTF-8 text"),
        (csv("1.png,a", "2.png,b", "1.png,b"), "line 4: 1.png stands in line 2 already with another label"),
        (csv("1.png,a", "9.png,b", "8.png,a", "sub,a", "7.png,a"), "4 of the 5 files that it names are not there: "
         "9.png, 8.png, sub and 1 more"),
        (csv("1.png,a", "x\0y.png,b"), r"1 of the 2 files that it names are not there: x\x00y.png"),
        (csv("1.png,a", "1.png/x,b"), "1 of the 2 files that it names are not there: 1.png/x"),
        (csv("1.png,a", "../1.png,b"), "line 3: ../1.png is not below the folder of the table"),
        (csv("1.png,a", "sub/../../1.png,b"), "is not below the folder of the table"),
        (csv("1.png,a", "..,b"), "is not below the folder of the table"),
        (csv("1.png,a", "/etc/passwd,b"), "/etc/passwd is not below the folder of the table"),
        (csv("1.png,a", "sub\\..\\..\\1.png,b"), "is not below the folder of the table"),
        (csv("1.png,a", "C:\\x\\1.png,b"), "is not below the folder of the table"),
        (csv("1.png,a", "\\\\server\\1.png,b"), "is not below the folder of the table"),
        (csv("1.png,a", "\x1b[2J/../../x,b"), r"line 3: \x1b[2J/../../x is not below"),
    ],
)  # fmt: skip
def test_a_csv_that_is_wrong_is_one_line(tmp_path: Path, text: str | bytes, says: str):
    line = problem(table(tmp_path, text))
    assert says in line
    assert line.startswith(str(tmp_path / "metadata.csv"))


GOOD = {"file_name": "1.png", "label": "a"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it has no rows"),
        (lines(GOOD) + '{"file_name": "2.png", "label"\n', "line 2: it is not a JSON object ("),
        (lines(GOOD, ["2.png", "b"]), "line 2: it is not a JSON object (Expected `object`, got `array`)"),
        (lines(GOOD) + '{"file_name": "2.png", "label": NaN}\n', "line 2: it is not a JSON object ("),
        (lines(GOOD) + "[" * 100_000, "line 2: it is not a JSON object ("),
        (lines(GOOD) + '{"file_name": "\\ud800.png", "label": "b"}', "2"),
        (lines(GOOD, {"file_name": "2.png"}), "line 2: it has no label"),
        (lines(GOOD, {"file_name": "2.png", "label": None}), "line 2: it has no label"),
        (lines(GOOD, {"label": "b"}), "line 2: it has no file_name"),
        (
            lines(GOOD, {"file_name": "2.png", "label": "b", "split": "test"}),
            "line 2: it has split, which the first row does not have; write the same names in each row",
        ),
        (
            lines({"file_name": "1.png", "target": "a"}, {"file_name": "2.png", "target": "b", "label": "c"}),
            "line 2: it has label, which the first row does not have",
        ),
        (
            lines(GOOD, {"file_name": "2.png", "label": ["a", "b"]}),
            "line 2: label is a list; write one text or number",
        ),
        (lines({"file_name": "1.png", "text": "x"}), "it has no column label, its columns are file_name, text"),
        (lines(GOOD).encode() + b'{"file_name": "\xff"}', "line 2: it is not UTF-8 text"),
    ],
)
def test_json_lines_that_are_wrong_are_one_line(tmp_path: Path, text: str | bytes, says: str):
    line = problem(table(tmp_path, text, "metadata.jsonl"))
    assert says in line
    assert line.startswith(str(tmp_path / "metadata.jsonl"))


def test_a_table_with_a_label_for_each_photo_is_refused(tmp_path: Path):
    put(tmp_path, *(f"{number}.png" for number in range(1001)))
    rows = csv(*(f"{number}.png,caption {number}" for number in range(1001)))
    assert "it has 1,001 classes; keep at most 1,000" in problem(table(tmp_path, rows))


def test_two_tables_are_one_line_and_find_table_finds_one(tmp_path: Path):
    assert find_table(tmp_path) is None
    put(tmp_path, "metadata.jsonl")
    assert find_table(tmp_path) == tmp_path / "metadata.jsonl"
    put(tmp_path, "metadata.csv")
    assert "it has metadata.csv and metadata.jsonl; keep one" in problem(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_where_the_table_says_so(tmp_path: Path):
    put(tmp_path / "elsewhere", "3.png")
    folder = table(tmp_path / "pets", csv("1.png,a", "link/3.png,b", "4.png,b"), photos=("1.png", "sub/4.png"))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "4.png").symlink_to("sub/4.png")
    (folder / "sub/loop").symlink_to(folder)
    listing = list_folder(folder)
    assert list(listing.keys) == ["1.png", "4.png", "link/3.png"]
    assert listing.notes == ("photos that metadata.csv does not name are left out (1): sub/4.png",)


def test_the_stamp_differs_when_a_label_or_a_photo_may_have_changed(tmp_path: Path):
    first = list_folder(table(tmp_path, FOUR)).stamp
    assert list_folder(tmp_path).stamp == first
    relabelled = list_folder(table(tmp_path, FOUR.replace("1.png,dog", "1.png,cat"), photos=())).stamp
    assert relabelled != first
    assert list_folder(table(tmp_path, FOUR, photos=())).stamp == first
    put(tmp_path, "1.png", content=b"another photo")
    assert list_folder(tmp_path).stamp != first


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(("metadata.csv", "metadata.jsonl")), st.text(max_size=40) | st.binary(max_size=40), st.booleans()
)
def test_whatever_is_in_a_table_is_one_line_or_a_listing(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str | bytes, begins_well: bool
):
    folder = put(tmp_path_factory.mktemp("table"), "1.png", "2.png")
    good = csv("1.png,a", "2.png,b") if name == "metadata.csv" else lines(GOOD, {"file_name": "2.png", "label": "b"})
    content = text.encode(errors="replace") if isinstance(text, str) else text
    put(folder, name, content=good.encode() * begins_well + content)
    try:
        listing = list_folder(folder)
    except ValueError:
        problem(folder)
    else:
        assert set(listing.keys) == {"1.png", "2.png"}
