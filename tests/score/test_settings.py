"""Settings: merged from includes, variables and --set; mistakes are named with file, key and the nearest right name."""

from pathlib import Path

import pytest

from score import settings
from score.errors import SettingsError
from score.llm import Endpoint, EndpointSettings
from score.settings import Strict, load_settings


class Inner(Strict):
    concurrency: int = 4
    address: str = ""


class Example(Strict):
    tasks: Path
    inner: Inner = Inner()
    endpoints: dict[str, Inner] = {}


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "main.yaml"


def test_later_values_win_key_by_key(tmp_path: Path) -> None:
    main = write(
        tmp_path, base="inner: {concurrency: 1, address: a}\ntasks: base", main="include: [base.yaml]\ntasks: main"
    )
    loaded = load_settings(Example, main, ["inner.concurrency=7"])
    assert loaded == Example(tasks=Path("main"), inner=Inner(concurrency=7, address="a"))


def test_an_unknown_key_names_its_file_and_the_nearest_name(tmp_path: Path) -> None:
    main = write(tmp_path, base="inner: {concurency: 1}", main="include: base.yaml\ntasks: x")
    with pytest.raises(SettingsError, match=r"base\.yaml: unknown key 'inner.concurency': did you mean 'concurrency'"):
        load_settings(Example, main)


def test_a_wrong_type_names_key_and_source(tmp_path: Path) -> None:
    main = write(tmp_path, main="tasks: x")
    with pytest.raises(SettingsError, match=r"--set inner.concurrency=many: key 'inner.concurrency'.*integer.*'many'"):
        load_settings(Example, main, ["inner.concurrency=many"])


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="key 'tasks' is missing"):
        load_settings(Example, write(tmp_path, main="inner: {}"))


def test_a_missing_file_and_an_include_loop_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(Example, tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="includes itself"):
        load_settings(Example, write(tmp_path, main="include: main.yaml"))


def test_variables_come_from_the_environment_and_the_dotenv_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("FROM_FILE=file\nFROM_BOTH=file\n")
    monkeypatch.setenv("FROM_BOTH", "environment")
    main = write(tmp_path, main="tasks: ${FROM_FILE}/x\ninner: {address: '${FROM_BOTH}', concurrency: '${N:-3}'}")
    loaded = load_settings(Example, main)
    assert (str(loaded.tasks), loaded.inner.address, loaded.inner.concurrency) == ("file/x", "environment", 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("@cf/meta/llama", None),
        ("a: b: c", None),
        ("2026-13-01", None),
        ("a # b", None),
        ("#1", None),
        ("'a # b'", "a # b"),
    ],
)
def test_a_value_that_is_no_yaml_or_would_be_cut_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VALUE", text)
    main = write(tmp_path, main="tasks: x\ninner: {address: '${VALUE}'}")
    by_variable, by_set = load_settings(Example, main), load_settings(Example, main, [f"inner.address={text}"])
    assert by_variable.inner.address == by_set.inner.address == (value or text)
    assert load_settings(Example, main, ["inner.concurrency=5 # five"]).inner.concurrency == 5


def test_a_process_that_starts_elsewhere_reads_the_repositorys_dotenv_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("repository", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "repository" / ".env").write_text("FROM_FILE=file\n")
    monkeypatch.setattr(settings, "ROOT", tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert settings.environment()["FROM_FILE"] == "file"


def test_a_missing_variable_stops_where_it_is_needed_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="tasks: the variable NOWHERE is not set"):
        load_settings(Example, write(tmp_path, main="tasks: ${NOWHERE}"))
    load_settings(Example, write(tmp_path, main="tasks: x\nendpoints: {teacher: {address: '${NOWHERE}'}}"))
    with pytest.raises(SettingsError, match="endpoints.teacher.base_url: the variable NOWHERE is not set"):
        Endpoint("teacher", EndpointSettings(base_url="${NOWHERE}", model="m"))


def test_a_missing_key_variable_names_who_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    settings = EndpointSettings(base_url="http://127.0.0.1:9/v1", model="m", api_key_env="TEACHER_KEY")
    with pytest.raises(SettingsError, match="TEACHER_KEY is not set, and the endpoint of the teacher needs it"):
        Endpoint("teacher", settings)
