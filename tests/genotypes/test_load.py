import pytest

from genotypes import GenotypeError, library_entry, library_names, load, to_json, to_text


def test_names_and_aliases():
    assert {"DARTS_V1", "DARTS_V2", "NASNet_A", "AmoebaNet_A", "PC_DARTS_cifar", "PDARTS", "GDAS_V1"} <= set(
        library_names()
    )
    assert load("DARTS") == load("DARTS_V2")


@pytest.mark.parametrize("name", library_names())
def test_library_entries_say_where_they_are_from(name):
    entry = library_entry(name)
    assert entry["name"] == name and entry["paper"] and entry["source"] and entry["reported"]["source"]


def test_unknown_name_gives_the_nearest():
    with pytest.raises(GenotypeError, match=r"'DARTS_V2' \(nearest\)"):
        load("DARTS_v2")


def test_files_and_folders(tmp_path):
    genotype = load("PDARTS")
    (tmp_path / "genotype.json").write_text(to_json(genotype))
    (tmp_path / "cell.txt").write_text(to_text(genotype))
    assert load(tmp_path) == load(tmp_path / "genotype.json") == load(str(tmp_path / "cell.txt")) == genotype


def test_missing_and_unreadable_files_are_named(tmp_path):
    binary = tmp_path / "bytes.json"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.json", binary):
        with pytest.raises(GenotypeError, match=path.name):
            load(path)
